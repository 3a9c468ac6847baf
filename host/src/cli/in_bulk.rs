//! One verb for a run, or for all that are found by what is asked for: with progress, and with a dry run.

use anyhow::bail;
use clap::Args;
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::client::{Client, ClientError};
use super::live_runs::LiveRuns;
use super::output::Progress;
use super::run_flags::RunFlags;
use super::{Done, output};
use crate::model::{RunId, RunState};

/// A run, or many.
#[derive(Args, Debug)]
pub(super) struct Chosen {
    /// The run
    #[arg(required_unless_present_any = ["all", "workflow"], conflicts_with = "all")]
    run: Option<RunId>,
    /// Every run that this is for, and that the flags below choose
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    runs: RunFlags,
    /// Only say which runs it would be
    #[arg(long, requires = "all")]
    dry_run: bool,
}

/// What is done to each of them.
pub(super) struct Verb {
    /// The last part of the address.
    pub(super) path: &'static str,
    /// What goes along.
    pub(super) body: Value,
    /// The states that it is for.
    pub(super) states: &'static [RunState],
    /// Those that it is for as well, but only if somebody asks for them.
    pub(super) if_asked: &'static [RunState],
    /// What has become of a run.
    pub(super) done: &'static str,
}

/// What came of all of them.
#[derive(Debug, Default, Serialize)]
struct Tally {
    /// Runs that were found.
    found: usize,
    /// Those to which it was done.
    done: usize,
    /// Those that had changed meanwhile.
    left: usize,
}

/// One of them.
#[derive(Serialize)]
struct One {
    run_id: String,
    is_done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Requests at a time.
const AT_ONCE: usize = 8;

impl Chosen {
    /// The only one.
    pub(super) fn one(&self) -> anyhow::Result<Option<RunId>> {
        if self.run.is_some() && !self.runs.clone().query().is_empty() {
            bail!("a run is named, or runs are chosen with --all and what they are to have: not both");
        }
        if self.run.is_none() && !self.all {
            bail!("runs are chosen with --all and what they are to have");
        }
        Ok(self.run)
    }

    /// All of a workflow, and nothing is asked of them: those that come later are meant, too.
    pub(super) fn workflow(&self) -> Option<String> {
        let mut asked = self.runs.clone().query();
        let is_alone = self.run.is_none() && !self.all && asked.len() == 1;
        asked.pop().filter(|(name, _)| is_alone && *name == "workflow").map(|(_, workflow)| workflow)
    }

    /// All of the namespace, and nothing is asked of them: those that come later are meant, too.
    pub(super) fn is_everything(&self) -> bool {
        self.all && !self.dry_run && self.runs.clone().query().is_empty()
    }

    /// Do it to all of them.
    pub(super) async fn each(&self, client: &Client, verb: &Verb) -> anyhow::Result<Done> {
        let mut chosen = self.runs.clone().query();
        let state = chosen.iter().position(|(name, _)| *name == "state").map(|place| chosen.swap_remove(place).1);
        let states = match &state {
            None => verb.states.to_vec(),
            Some(state) => {
                let known = verb.states.iter().chain(verb.if_asked).copied();
                known.filter(|known| state == known.as_str()).collect()
            }
        };
        if states.is_empty() {
            let states: Vec<_> = verb.states.iter().chain(verb.if_asked).map(|state| state.as_str()).collect();
            bail!("it is for runs that are {}", states.join(", "));
        }
        let mut tally = Tally::default();
        let mut pages = LiveRuns::chosen(client, chosen, &states);
        let progress = Progress::new(pages.count().await?, verb.path, client.json);
        while let Some(page) = pages.next().await? {
            let all = stream::iter(page).map(|run| self.apply(client, verb, run.run_id));
            let mut all = std::pin::pin!(all.buffer_unordered(AT_ONCE));
            while let Some(one) = all.next().await {
                let one = one?;
                tally.found += 1;
                tally.done += usize::from(one.is_done);
                tally.left += usize::from(one.reason.is_some());
                progress.step();
                progress.above(|| self.tell(client, verb, &one))?;
            }
        }
        drop(progress);
        if client.json {
            output::json(&tally)?;
        } else {
            let Tally { found, done, left } = tally;
            let changed = if left == 0 { "" } else { "; the others have changed meanwhile and are left as they are" };
            output::line(if self.dry_run {
                format!("{found} runs; nothing was done")
            } else {
                format!("{done} of {found} runs: {}{changed}", verb.done)
            });
        }
        Ok(Done::Well)
    }

    async fn apply(&self, client: &Client, verb: &Verb, run_id: String) -> Result<One, ClientError> {
        if self.dry_run {
            return Ok(One { run_id, is_done: false, reason: None });
        }
        let request = client.request(Method::POST, &format!("/runs/{run_id}/{}", verb.path));
        match client.send::<Value>(request.json(&verb.body)).await {
            Ok(_) => Ok(One { run_id, is_done: true, reason: None }),
            // It has changed since it was found.
            Err(ClientError::Refused(problem)) if matches!(problem.status, 404 | 409) => {
                Ok(One { run_id, is_done: false, reason: Some(problem.detail) })
            }
            Err(error) => Err(error),
        }
    }

    fn tell(&self, client: &Client, verb: &Verb, one: &One) -> anyhow::Result<()> {
        if client.json {
            return output::json(one);
        }
        let what = if self.dry_run { "would be chosen" } else { one.reason.as_deref().unwrap_or(verb.done) };
        output::line(format!("{}  {what}", one.run_id));
        Ok(())
    }
}
