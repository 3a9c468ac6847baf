//! `windlass replay`

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use flate2::bufread::MultiGzDecoder;
use serde::Serialize;

use super::master_key::MasterKeyOptions;
use super::{Done, output};
use crate::api;
use crate::history::Divergence;
use crate::model::{Event, MasterKeys, RunId, RunInfo};
use crate::run::{Code, Progress, Stop, build_sandbox, replay};
use crate::sandbox::{Compiler, Limits};
use crate::store::{ReadBack, read_back};

#[derive(Args, Debug)]
pub(super) struct Replay {
    /// What has happened to a run: the output of `windlass history RUN --json`, or a file of exported runs (.jsonl.gz, .jsonl)
    history: PathBuf,
    /// The component that it is delivered to
    component: PathBuf,
    /// Which of the runs in a file of exported ones
    #[arg(long)]
    run: Option<RunId>,
    #[command(flatten)]
    master_key: MasterKeyOptions,
}

/// What it came to.
#[derive(Serialize)]
struct Replayed {
    events: usize,
    /// `waiting`, `completed`, `failed`, `continue-as-new`, `diverged` or `crashed`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    divergence: Option<Divergence>,
}

impl Replay {
    pub(super) async fn run(self, json: bool) -> anyhow::Result<Done> {
        let Self { history, component, run, master_key } = self;
        let masters = master_key.read()?;
        let read = tokio::task::spawn_blocking(move || recorded(&history, run, masters.as_ref()));
        let (info, input, mut events) = read.await?.context("the history")?;
        let component =
            tokio::fs::read(&component).await.with_context(|| format!("cannot read {}", component.display()))?;
        // What was before the run last continued as new led to an input, and is not replayed.
        events.retain(|event| event.seq >= info.origin.seq);
        let replayed = tokio::task::spawn_blocking(move || deliver(&component, info, &input, events)).await??;
        let is_same = replayed.divergence.is_none() && replayed.outcome != "crashed";
        if json {
            output::json(&replayed)?;
        } else {
            let message = replayed.message.map(|message| format!(": {message}")).unwrap_or_default();
            output::line(format!("{} events, {}{message}", replayed.events, replayed.outcome));
        }
        Ok(if is_same { Done::Well } else { Done::NotCompleted })
    }
}

/// The first bytes of what gzip has compressed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A run, and what has happened to it.
fn recorded(file: &Path, run: Option<RunId>, masters: Option<&MasterKeys>) -> anyhow::Result<ReadBack> {
    let cannot = || format!("cannot read {}", file.display());
    let mut plain = BufReader::new(File::open(file).with_context(cannot)?);
    let is_compressed = plain.fill_buf().with_context(cannot)?.starts_with(&GZIP);
    let mut text: Box<dyn BufRead> =
        if is_compressed { Box::new(BufReader::new(MultiGzDecoder::new(plain))) } else { Box::new(plain) };
    if text.fill_buf().with_context(cannot)?.starts_with(b"{\"line\":") {
        return Ok(read_back(text, run, masters)?);
    }
    let history: api::History = serde_json::from_reader(text)?;
    let run = history.run.context("it does not say what the run was started with: take it from this version")?;
    let (info, input) = run.into_info()?;
    let events: Result<Vec<Event>, _> = history.events.into_iter().map(Event::try_from).collect();
    Ok((info, input, events?))
}

fn deliver(
    component: &[u8],
    info: RunInfo,
    input: &crate::model::Payload,
    history: Vec<Event>,
) -> anyhow::Result<Replayed> {
    let sandbox = build_sandbox(Limits::default(), Compiler::this_program()?, None)?;
    let code =
        Code::new(&sandbox, component).map_err(|error| anyhow::anyhow!("the component is not accepted: {error}"))?;
    let events = history.len();
    let replayed = |outcome, message, divergence| Replayed { events, outcome, message, divergence };
    Ok(match replay(&code, &Arc::new(sandbox.limits.guest.clone()), info, input, history) {
        Ok(Progress::Waiting | Progress::Yielded) => replayed("waiting", None, None),
        Ok(Progress::Completed(_)) => replayed("completed", None, None),
        Ok(Progress::Failed(failure)) => replayed("failed", Some(failure.to_string()), None),
        Ok(Progress::ContinueAsNew(_)) => replayed("continue-as-new", None, None),
        Err(Stop::Diverged(divergence)) => replayed("diverged", Some(divergence.to_string()), Some(*divergence)),
        Err(Stop::Crash(crash)) => replayed("crashed", Some(crash.to_string()), None),
    })
}
