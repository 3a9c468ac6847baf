//! `windlass replay`

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use flate2::bufread::MultiGzDecoder;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::Done;
use super::client::{Client, ClientError};
use super::history::whole_history;
use super::live_runs::LiveRuns;
use super::master_key::MasterKeyOptions;
use super::output;
use crate::api;
use crate::api::view::{NamespaceView, RunView};
use crate::history::Divergence;
use crate::model::{CallId, Event, GuestLimits, MasterKeys, Name, Payload, RunId, RunInfo};
use crate::run::{Code, Guest, Progress, Replay as Replayer, Stop, UnderWay, build_sandbox};
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
    /// `waiting`, `completed`, `failed`, `continue-as-new`, `diverged`, `crashed`, or `unknown`: it could not be found out.
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

/// A run as the host has it: what has happened to it, and what is under way, as far as that is known.
struct Recorded {
    whole: ReadBack,
    under_way: Vec<UnderWay>,
}

/// Of what a run waits for, while no host is at it.
#[derive(Deserialize)]
struct OpenCall {
    call: Option<CallId>,
    kind: String,
    #[serde(default)]
    name: String,
}

/// Runs that are told their histories at a time.
const AT_ONCE: usize = 4;

impl Replay {
    /// `client`: where runs are that are asked for by their ids.
    pub(super) async fn run(self, client: impl FnOnce() -> anyhow::Result<Client>, json: bool) -> anyhow::Result<Done> {
        let Self { what, component, against, run, master_key, .. } = self;
        let path = against.or(component).context("which component? --against FILE.wasm")?;
        let bytes = tokio::fs::read(&path).await.with_context(|| format!("cannot read {}", path.display()))?;
        let Some(what) = what else {
            let client = client()?;
            return all(Subject::at(&client, bytes).await?, &client).await;
        };
        let (subject, recorded) = match what.parse::<RunId>() {
            Ok(run) => {
                let client = client()?;
                (Subject::at(&client, bytes).await?, recorded(&client, run).await?)
            }
            Err(_) => {
                let masters = master_key.read()?;
                let read = move || of_file(Path::new(&what), run, masters.as_ref());
                let whole = tokio::task::spawn_blocking(read).await?.context("the history")?;
                (Subject::here(bytes, GuestLimits::default()).await?, Recorded { whole, under_way: Vec::new() })
            }
        };
        let replayed = deliver(subject, recorded).await?;
        report(&replayed, json)?;
        Ok(if replayed.is_same() { Done::Well } else { Done::NotCompleted })
    }
}

/// All runs that are not over, with a line about each that would not survive.
async fn all(subject: Arc<Subject>, client: &Client) -> anyhow::Result<Done> {
    let name = subject.name.clone();
    let (mut survive, mut differ, mut unknown) = (0, 0, 0);
    let mut live = LiveRuns::of(client, &name);
    let progress = output::Progress::new(live.count().await?, "replay", client.json);
    while let Some(page) = live.next().await? {
        let told = stream::iter(page).map(|run| one_of_all(&subject, client, run.run_id));
        let mut told = std::pin::pin!(told.buffer_unordered(AT_ONCE));
        while let Some(replayed) = told.next().await {
            progress.step();
            // One that is gone by now needs nothing.
            let Some(replayed) = replayed else { continue };
            let is_same = replayed.is_same();
            *(if replayed.outcome == "unknown" {
                &mut unknown
            } else if is_same {
                &mut survive
            } else {
                &mut differ
            }) += 1;
            if client.json || !is_same {
                progress.above(|| report(&replayed, client.json))?;
            }
        }
    }
    drop(progress);
    if !client.json {
        let rest = if unknown == 0 { String::new() } else { format!("; of {unknown} it could not be found out") };
        output::line(format!("{survive} runs would survive, {differ} would not{rest}"));
    }
    Ok(if differ + unknown == 0 { Done::Well } else { Done::NotCompleted })
}

/// Whatever is wrong with one, the others are looked at all the same. `None`: it is gone.
async fn one_of_all(subject: &Arc<Subject>, client: &Client, run_id: String) -> Option<Replayed> {
    let told = async {
        let recorded = recorded(client, run_id.parse().context("the id of a run")?).await?;
        deliver(subject.clone(), recorded).await
    };
    match told.await {
        Ok(replayed) => Some(Replayed { run_id: Some(run_id), ..replayed }),
        Err(error) => match error.downcast_ref() {
            Some(ClientError::Refused(problem)) if problem.status == 404 => None,
            _ => {
                let (run_id, message) = (Some(run_id), Some(format!("{error:#}")));
                Some(Replayed { run_id, events: 0, outcome: "unknown", message, divergence: None })
            }
        },
    }
}

/// What the host knows of a run.
async fn recorded(client: &Client, run_id: RunId) -> anyhow::Result<Recorded> {
    let whole = of_history(whole_history(client, run_id, None).await?).context("the history")?;
    let run: RunView = client.get(&format!("/runs/{run_id}")).await?;
    let next = whole.2.last().map_or(whole.0.origin.seq, |event| event.seq + 1);
    // What has come meanwhile may have ended what was under way.
    let open_calls = run.open_calls.filter(|_| run.events == next);
    let open_calls: Vec<OpenCall> = match &open_calls {
        Some(calls) => serde_json::from_str(calls.as_str()).context("what the run waits for")?,
        None => Vec::new(),
    };
    let under_way = open_calls
        .into_iter()
        .filter_map(|OpenCall { call, kind, name }| call.map(|call| UnderWay { call, kind, name, input: None }));
    Ok(Recorded { whole, under_way: under_way.collect() })
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

async fn deliver(subject: Arc<Subject>, recorded: Recorded) -> anyhow::Result<Replayed> {
    let Recorded { whole: (info, input, mut events), under_way } = recorded;
    // What was before the run last continued as new led to an input, and is not replayed.
    events.retain(|event| event.seq >= info.origin.seq);
    if let Some(missing) = Event::gap(info.origin.seq, &events) {
        anyhow::bail!("it is no whole history: event {missing} is not where it belongs");
    }
    Ok(tokio::task::spawn_blocking(move || subject.replay(info, input, events, &under_way)).await?)
}

impl Subject {
    /// With what a namespace may use.
    async fn at(client: &Client, component: Vec<u8>) -> anyhow::Result<Arc<Self>> {
        let namespace: NamespaceView = client.get("").await?;
        Self::here(component, GuestLimits::told(&namespace.limits)).await
    }

    async fn here(component: Vec<u8>, limits: GuestLimits) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(tokio::task::spawn_blocking(move || Self::new(&component, limits)).await??))
    }

    fn new(component: &[u8], limits: GuestLimits) -> anyhow::Result<Self> {
        let limits = Limits { guest: limits, ..Limits::default() };
        let sandbox = build_sandbox(limits, Compiler::this_program()?, None)?;
        let refused = |error: &dyn std::fmt::Display| anyhow::anyhow!("the component is not accepted: {error}");
        let code = Code::new(&sandbox, component).map_err(|error| refused(&error))?;
        let limits = Arc::new(sandbox.limits.guest.clone());
        let manifest = Guest::describe(&code, &limits).map_err(|error| refused(&error))?;
        let name = manifest.map_err(|error| refused(&error))?.name;
        Ok(Self { code, limits, name })
    }

    fn replay(&self, info: RunInfo, input: Payload, history: Vec<Event>, under_way: &[UnderWay]) -> Replayed {
        let events = history.len();
        let replayed = |outcome, message, divergence| Replayed { run_id: None, events, outcome, message, divergence };
        let told = Replayer::new(&self.code, &self.limits, info, input).map_err(Stop::from).and_then(|mut replayer| {
            replayer.deliver(history, true)?;
            Ok(replayer)
        });
        let mut replayer = match told {
            Ok(replayer) => replayer,
            Err(Stop::Diverged(divergence)) => {
                return replayed("diverged", Some(divergence.to_string()), Some(*divergence));
            }
            Err(Stop::Crash(crash)) => return replayed("crashed", Some(crash.to_string()), None),
        };
        let open = replayer.open_calls();
        if let Some(difference) = under_way.iter().find_map(|call| call.difference(&open)) {
            return replayed("diverged", Some(difference), None);
        }
        match replayer.progress() {
            Progress::Waiting | Progress::Yielded => replayed("waiting", None, None),
            Progress::Completed(_) => replayed("completed", None, None),
            Progress::Failed(failure) => replayed("failed", Some(failure.to_string()), None),
            Progress::ContinueAsNew(_) => replayed("continue-as-new", None, None),
        }
    }
}

impl Replayed {
    fn is_same(&self) -> bool {
        !["diverged", "crashed", "unknown"].contains(&self.outcome)
    }
}
