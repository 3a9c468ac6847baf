//! What the engine does by itself, in this process, with no database.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::error::{BenchError, Result};
use super::sample::{nap, run_of};
use crate::imports::Time;
use crate::model::{Payload, Timestamp};
use crate::run::{Code, Guest, Progress, Sandbox, build_sandbox};
use crate::sandbox::Limits;

/// Seconds that the stages of an upload take.
pub(super) struct Upload {
    pub(super) compile: f64,
    pub(super) load: f64,
    pub(super) instantiate: f64,
}

/// How long a piece is repeated.
const TIME: Duration = Duration::from_millis(500);

pub(super) fn upload_seconds(component: &[u8]) -> Result<Upload> {
    let without_cache = build_sandbox(Limits::default(), None)?;
    let begun = Instant::now();
    let code = Code::new(&without_cache, component)?;
    let compile = begun.elapsed().as_secs_f64();
    let folder = std::env::temp_dir().join(format!("windlass-bench-cache-{}", std::process::id()));
    let load = load_seconds(component, &folder);
    std::fs::remove_dir_all(&folder).map_err(BenchError::io("remove a cache"))?;
    let instantiate = instantiate_seconds(&without_cache, &code)?;
    Ok(Upload { compile, load: load?, instantiate })
}

fn load_seconds(component: &[u8], folder: &Path) -> Result<f64> {
    let with_cache = build_sandbox(Limits::default(), Some(folder))?;
    Code::new(&with_cache, component)?;
    let begun = Instant::now();
    Code::new(&with_cache, component)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// For each step of a workflow with so many steps: its own instance, and its share of the workflow's.
pub(super) fn seconds_per_step(component: &[u8], steps: u32) -> Result<f64> {
    let sandbox = build_sandbox(Limits::default(), None)?;
    let code = Code::new(&sandbox, component)?;
    Ok(instantiate_seconds(&sandbox, &code)? * f64::from(steps + 1) / f64::from(steps))
}

fn instantiate_seconds(sandbox: &Sandbox, code: &Code) -> Result<f64> {
    let (limits, info) = (Arc::new(sandbox.limits.clone()), run_of("steps"));
    let time: Time = Arc::new(|| Timestamp::from_micros(1));
    let begun = Instant::now();
    let mut count = 0.0;
    while begun.elapsed() < TIME {
        let guest = Guest::new(code, limits.clone(), CancellationToken::new(), info.clone(), time.clone());
        black_box(guest.map_err(|crash| BenchError::Run { load: "steps".to_owned(), answer: crash.to_string() })?);
        count += 1.0;
    }
    Ok(begun.elapsed().as_secs_f64() / count)
}

/// Events that are delivered at a time, as a host reads them from the database.
const CHUNK: u32 = 2_000;

/// Seconds that it takes to bring a new instance to the end of a history of this length.
pub(super) fn replay_seconds(component: &[u8], events: u32) -> Result<f64> {
    let sandbox = build_sandbox(Limits::default(), None)?;
    let code = Code::new(&sandbox, component)?;
    let (limits, run, input) = (Arc::new(sandbox.limits.clone()), run_of("naps"), Payload::of(&events));
    let time: Time = Arc::new(|| Timestamp::from_micros(1));
    let mut best = f64::INFINITY;
    let begun = Instant::now();
    // The quickest of some: what disturbs only ever makes it slower.
    while best.is_infinite() || begun.elapsed() < TIME {
        let history: Vec<Vec<_>> = (0..events)
            .step_by(CHUNK as usize)
            .map(|first| (first..events.min(first + CHUNK)).map(nap).collect())
            .collect();
        let before = Instant::now();
        let failed = |error: String| BenchError::Run { load: "naps".to_owned(), answer: error };
        let guest = Guest::new(&code, limits.clone(), CancellationToken::new(), run.clone(), time.clone());
        let mut guest = guest.map_err(|crash| failed(crash.to_string()))?;
        for chunk in history {
            guest.context().add_recorded(chunk, false);
            let progress = guest.turn(&run, &input).map_err(|stop| failed(stop.to_string()))?;
            if progress != Progress::Waiting {
                return Err(failed(format!("{progress:?}")));
            }
        }
        drop(guest);
        best = best.min(before.elapsed().as_secs_f64());
    }
    Ok(best)
}
