//! `windlass replay`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::client::Client;
use super::history::whole_history;
use super::live_runs::LiveRuns;
use super::output::{self, Spinner};
use super::Done;
use crate::api;
use crate::history::Divergence;
use crate::model::{Event, GuestLimits, Name, Payload, RunId, RunInfo};
use crate::run::{Code, Guest, Progress, Stop, build_sandbox, replay};
use crate::sandbox::{Compiler, Limits};

#[derive(Args, Debug)]
pub(super) struct Replay {
    /// A run of the host; or a file with what has happened to one: the output of `windlass history RUN --json`
    #[arg(required_unless_present = "all", value_name = "RUN or HISTORY.json")]
    what: Option<String>,
    /// The component that it is delivered to
    #[arg(required_unless_present = "against", value_name = "FILE.wasm")]
    component: Option<PathBuf>,
    /// The same, said otherwise
    #[arg(long, value_name = "FILE.wasm", conflicts_with = "component")]
    against: Option<PathBuf>,
    /// Every run of the host that is not over and whose component has the name of this one
    #[arg(long, conflicts_with = "what", requires = "against")]
    all: bool,
}

/// What it came to.
#[derive(Serialize)]
struct Replayed {
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<String>,
    events: usize,
    /// `waiting`, `completed`, `failed`, `continue-as-new`, `diverged` or `crashed`.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    divergence: Option<Divergence>,
}

/// A component, ready to be told histories.
struct Subject {
    code: Code,
    limits: Arc<GuestLimits>,
    name: Name,
}

impl Replay {
    /// `client`: where runs are that are asked for by their ids.
    pub(super) async fn run(self, client: impl FnOnce() -> anyhow::Result<Client>, json: bool) -> anyhow::Result<Done> {
        let path = self.against.or(self.component).context("which component? --against FILE.wasm")?;
        let bytes = read(&path).await?;
        let subject = Arc::new(tokio::task::spawn_blocking(move || Subject::new(&bytes)).await??);
        let Some(what) = self.what else { return all(subject, &client()?).await };
        let history = match what.parse::<RunId>() {
            Ok(run) => whole_history(&client()?, run).await?,
            Err(_) => serde_json::from_slice(&read(Path::new(&what)).await?).context("the history")?,
        };
        let replayed = deliver(subject, history).await?;
        report(&replayed, json)?;
        Ok(if replayed.is_same() { Done::Well } else { Done::NotCompleted })
    }
}

/// All runs that are not over, one after the other, with a line about each that would not survive.
async fn all(subject: Arc<Subject>, client: &Client) -> anyhow::Result<Done> {
    let name = subject.name.clone();
    let (mut survive, mut differ) = (0, 0);
    let _spinner = Spinner::new(format!("runs of {name}"), client.json);
    let mut live = LiveRuns::of(client, &name);
    while let Some(page) = live.next().await? {
        for run in page {
            let history = whole_history(client, run.run_id.parse().context("the id of a run")?).await?;
            let replayed = Replayed { run_id: Some(run.run_id), ..deliver(subject.clone(), history).await? };
            if replayed.is_same() {
                survive += 1;
            } else {
                differ += 1;
            }
            if client.json || !replayed.is_same() {
                report(&replayed, client.json)?;
            }
        }
    }
    if !client.json {
        output::line(format!("{survive} runs would survive, {differ} would not"));
    }
    Ok(if differ == 0 { Done::Well } else { Done::NotCompleted })
}

fn report(replayed: &Replayed, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(replayed);
    }
    let message = replayed.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
    let run = replayed.run_id.as_ref().map(|run| format!("{run}  ")).unwrap_or_default();
    output::line(format!("{run}{} events, {}{message}", replayed.events, replayed.outcome));
    Ok(())
}

async fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    tokio::fs::read(file).await.with_context(|| format!("cannot read {}", file.display()))
}

async fn deliver(subject: Arc<Subject>, history: api::History) -> anyhow::Result<Replayed> {
    let run =
        history.run.context("the history does not say what the run was started with: take it from this version")?;
    let (info, input) = run.into_info().context("the history")?;
    let events: Result<Vec<Event>, _> = history.events.into_iter().map(Event::try_from).collect();
    let mut events = events.context("the history")?;
    // What was before the run last continued as new led to an input, and is not replayed.
    events.retain(|event| event.seq >= info.origin.seq);
    Ok(tokio::task::spawn_blocking(move || subject.replay(info, &input, events)).await?)
}

impl Subject {
    fn new(component: &[u8]) -> anyhow::Result<Self> {
        let sandbox = build_sandbox(Limits::default(), Compiler::this_program()?, None)?;
        let refused = |error: &dyn std::fmt::Display| anyhow::anyhow!("the component is not accepted: {error}");
        let code = Code::new(&sandbox, component).map_err(|error| refused(&error))?;
        let limits = Arc::new(sandbox.limits.guest.clone());
        let manifest = Guest::describe(&code, &limits).map_err(|error| refused(&error))?;
        let name = manifest.map_err(|error| refused(&error))?.name;
        Ok(Self { code, limits, name })
    }

    fn replay(&self, info: RunInfo, input: &Payload, history: Vec<Event>) -> Replayed {
        let events = history.len();
        let replayed = |outcome, message, divergence| Replayed { run_id: None, events, outcome, message, divergence };
        match replay(&self.code, &self.limits, info, input, history) {
            Ok(Progress::Waiting | Progress::Yielded) => replayed("waiting", None, None),
            Ok(Progress::Completed(_)) => replayed("completed", None, None),
            Ok(Progress::Failed(failure)) => replayed("failed", Some(failure.to_string()), None),
            Ok(Progress::ContinueAsNew(_)) => replayed("continue-as-new", None, None),
            Err(Stop::Diverged(divergence)) => replayed("diverged", Some(divergence.to_string()), Some(*divergence)),
            Err(Stop::Crash(crash)) => replayed("crashed", Some(crash.to_string()), None),
        }
    }
}

impl Replayed {
    fn is_same(&self) -> bool {
        self.divergence.is_none() && self.outcome != "crashed"
    }
}
