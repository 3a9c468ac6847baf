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
use crate::sandbox::{Compiler, Limits};

/// Seconds that the stages of an upload take.
pub(super) struct Upload {
    pub(super) compile: f64,
    /// The same in this process, which no host does.
    pub(super) compile_here: f64,
    pub(super) load: f64,
    pub(super) instantiate: f64,
}

/// How long a piece is repeated.
const TIME: Duration = Duration::from_millis(500);

pub(super) fn upload_seconds(component: &[u8]) -> Result<Upload> {
    let without_cache = sandbox(None)?;
    let (code, compile) = compile_seconds(&without_cache, component)?;
    let here = build_sandbox(Limits::default(), Compiler::InProcess, None)?;
    let (_, compile_here) = compile_seconds(&here, component)?;
    let folder = std::env::temp_dir().join(format!("windlass-bench-cache-{}", std::process::id()));
    let load = load_seconds(component, &folder);
    std::fs::remove_dir_all(&folder).map_err(BenchError::io("remove a cache"))?;
    let instantiate = instantiate_seconds(&without_cache, &code)?;
    Ok(Upload { compile, compile_here, load: load?, instantiate })
}

/// As hosts have it: the compiler is this program.
fn sandbox(cache: Option<&Path>) -> Result<Sandbox> {
    let compiler = Compiler::this_program().map_err(BenchError::io("find this program"))?;
    Ok(build_sandbox(Limits::default(), compiler, cache)?)
}

fn compile_seconds(sandbox: &Sandbox, component: &[u8]) -> Result<(Code, f64)> {
    let begun = Instant::now();
    let code = Code::new(sandbox, component)?;
    Ok((code, begun.elapsed().as_secs_f64()))
}

fn load_seconds(component: &[u8], folder: &Path) -> Result<f64> {
    let with_cache = sandbox(Some(folder))?;
    Code::new(&with_cache, component)?;
    let begun = Instant::now();
    Code::new(&with_cache, component)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// For each step of a workflow with so many steps: its own instance, and its share of the workflow's.
pub(super) fn seconds_per_step(component: &[u8], steps: u32) -> Result<f64> {
    let sandbox = sandbox(None)?;
    let code = Code::new(&sandbox, component)?;
    Ok(instantiate_seconds(&sandbox, &code)? * f64::from(steps + 1) / f64::from(steps))
}

fn instantiate_seconds(sandbox: &Sandbox, code: &Code) -> Result<f64> {
    let (limits, info) = (Arc::new(sandbox.limits.guest.clone()), run_of("steps"));
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
    let sandbox = sandbox(None)?;
    let code = Code::new(&sandbox, component)?;
    let (limits, run, input) = (Arc::new(sandbox.limits.guest.clone()), run_of("naps"), Payload::of(&events));
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
