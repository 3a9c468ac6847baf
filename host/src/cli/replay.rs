//! `windlass replay`

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use flate2::bufread::MultiGzDecoder;
use serde::Serialize;

use super::Done;
use super::client::Client;
use super::history::whole_history;
use super::live_runs::LiveRuns;
use super::master_key::MasterKeyOptions;
use super::output::{self, Spinner};
use crate::api;
use crate::history::Divergence;
use crate::model::{Event, GuestLimits, MasterKeys, Name, Payload, RunId, RunInfo};
use crate::run::{Code, Guest, Progress, Stop, build_sandbox, replay};
use crate::sandbox::{Compiler, Limits};
use crate::store::{ReadBack, read_back};

#[derive(Args, Debug)]
pub(super) struct Replay {
    /// A run of the host; or a file with what has happened to one: the output of `windlass history RUN --json`, or exported runs
    /// (.jsonl.gz, .jsonl)
    #[arg(required_unless_present = "all", value_name = "RUN or FILE")]
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
    /// Which of the runs in a file of exported ones
    #[arg(long)]
    run: Option<RunId>,
    #[command(flatten)]
    master_key: MasterKeyOptions,
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
        let Self { what, component, against, run, master_key, .. } = self;
        let path = against.or(component).context("which component? --against FILE.wasm")?;
        let bytes = tokio::fs::read(&path).await.with_context(|| format!("cannot read {}", path.display()))?;
        let subject = Arc::new(tokio::task::spawn_blocking(move || Subject::new(&bytes)).await??);
        let Some(what) = what else { return all(subject, &client()?).await };
        let recorded = match what.parse::<RunId>() {
            Ok(run) => of_history(whole_history(&client()?, run, None).await?),
            Err(_) => {
                let masters = master_key.read()?;
                let read = move || of_file(Path::new(&what), run, masters.as_ref());
                tokio::task::spawn_blocking(read).await?
            }
        };
        let replayed = deliver(subject, recorded.context("the history")?).await?;
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
            let history = whole_history(client, run.run_id.parse().context("the id of a run")?, None).await?;
            let delivered = deliver(subject.clone(), of_history(history).context("the history")?).await?;
            let replayed = Replayed { run_id: Some(run.run_id), ..delivered };
            let is_same = replayed.is_same();
            *(if is_same { &mut survive } else { &mut differ }) += 1;
            if client.json || !is_same {
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

/// The first bytes of what gzip has compressed.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A run, and what has happened to it.
fn of_file(file: &Path, run: Option<RunId>, masters: Option<&MasterKeys>) -> anyhow::Result<ReadBack> {
    let cannot = || format!("cannot read {}", file.display());
    let mut plain = BufReader::new(File::open(file).with_context(cannot)?);
    let is_compressed = plain.fill_buf().with_context(cannot)?.starts_with(&GZIP);
    let mut text: Box<dyn BufRead> =
        if is_compressed { Box::new(BufReader::new(MultiGzDecoder::new(plain))) } else { Box::new(plain) };
    if text.fill_buf().with_context(cannot)?.starts_with(b"{\"line\":") {
        return Ok(read_back(text, run, masters)?);
    }
    of_history(serde_json::from_reader(text)?)
}

fn of_history(history: api::History) -> anyhow::Result<ReadBack> {
    let run = history.run.context("it does not say what the run was started with: take it from this version")?;
    let (info, input) = run.into_info()?;
    let events: Result<Vec<Event>, _> = history.events.into_iter().map(Event::try_from).collect();
    Ok((info, input, events?))
}

async fn deliver(subject: Arc<Subject>, (info, input, mut events): ReadBack) -> anyhow::Result<Replayed> {
    // What was before the run last continued as new led to an input, and is not replayed.
    events.retain(|event| event.seq >= info.origin.seq);
    if let Some(missing) = Event::gap(info.origin.seq, &events) {
        anyhow::bail!("it is no whole history: event {missing} is not where it belongs");
    }
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
