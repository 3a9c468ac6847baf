//! Records, gathered into the columns of one call of `commit_batch`.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::columns::{
    Answers, Attempts, Children, Continuations, Discards, Ends, Events, Logs, Parks, Releases, Starts, Taggings, Values,
};
use super::history::{Attempt, level_code};
use super::record::{Close, NewChild, Park, Record, Source, Start};
use super::seals::seal;
use super::start::tags_column;
use super::{Lease, Result};
use crate::model::{
    Ask, Durability, Event, EventKind, LogLine, Name, Origin, Outcome, Payload, PayloadKey, RunId, Tags, sealed_text,
};

/// Columns that grow as records are added.
#[derive(Default)]
pub(super) struct Batch {
    starts: Starts,
    events: Events,
    attempts: Attempts,
    logs: Logs,
    values: Values,
    taggings: Taggings,
    children: Children,
    releases: Releases,
    answers: Answers,
    discards: Discards,
    continuations: Continuations,
    ends: Ends,
    parks: Parks,
    /// Runs that begin in this batch and have left nothing but events, lines and tags so far.
    ///
    /// One that is over in the commit that it begins in is one row, written once. Their places among the starts.
    plain: HashMap<Uuid, usize>,
}

/// One parameter for each column, after the host and its epoch.
static COMMIT: LazyLock<String> = LazyLock::new(|| {
    let columns = Starts::COUNT + Events::COUNT + Attempts::COUNT + Logs::COUNT + Values::COUNT + Taggings::COUNT;
    let columns = columns + Children::COUNT + Releases::COUNT + Answers::COUNT + Discards::COUNT + Continuations::COUNT;
    let columns = columns + Ends::COUNT + Parks::COUNT;
    let parameters: Vec<_> = (1..=2 + columns).map(|number| format!("${number}")).collect();
    format!("SELECT run_id, verdict FROM commit_batch({})", parameters.join(", "))
});

/// Codes of `events.kind`; history.rs reads them.
pub(super) const KIND_STEP: i16 = 0;
pub(super) const KIND_SLEEP: i16 = 1;
pub(super) const KIND_SIGNAL: i16 = 2;
pub(super) const KIND_CANCEL_REQUESTED: i16 = 3;
pub(super) const KIND_CHILD: i16 = 4;
pub(super) const KIND_SEND: i16 = 5;
pub(super) const KIND_UPDATE: i16 = 6;

/// Numbers of ours are small; the columns are signed.
pub(super) fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Batch {
    /// `key`: what its payloads are sealed under.
    pub(super) fn add(&mut self, run_id: RunId, key: Option<&PayloadKey>, record: &Record) -> Result<()> {
        let is_plain = matches!(
            record,
            Record::Start(_) | Record::Event(_) | Record::Log(..) | Record::Tags(_) | Record::Close(_)
        );
        if !is_plain {
            self.plain.remove(&run_id.0);
        }
        match record {
            Record::Start(start) => self.add_start(key, start)?,
            Record::Event(event) => self.add_event(run_id, key, event)?,
            Record::Attempt(attempt) => self.add_attempt(run_id, key, attempt)?,
            Record::Log(source, line) => self.add_log(run_id, key, *source, line)?,
            Record::Publish(name, value) => self.add_value(run_id, key, name, value)?,
            Record::Tags(tags) => self.add_tags(run_id, tags),
            Record::StartChild(child) => self.add_child(run_id, key, child)?,
            Record::ReleaseChild(call) => {
                self.releases.runs.push(run_id.0);
                self.releases.calls.push(int(*call));
            }
            Record::Answer(call, answer) => {
                let (failed, answer) = outcome_columns(key, answer)?;
                self.answers.runs.push(run_id.0);
                self.answers.calls.push(int(*call));
                self.answers.failed.push(failed);
                self.answers.answers.push(answer);
            }
            Record::Discard(inbox) => {
                self.discards.runs.push(run_id.0);
                self.discards.inbox.push(*inbox);
            }
            Record::Continue(origin, input) => self.add_continuation(run_id, key, origin, input)?,
            Record::Close(close) => self.add_close(run_id, key, close)?,
            Record::Park(park) => self.add_park(run_id, park),
        }
        Ok(())
    }

    fn add_start(&mut self, key: Option<&PayloadKey>, start: &Start) -> Result<()> {
        let Start { info, input, idempotency_key, tags } = start;
        let columns = &mut self.starts;
        self.plain.insert(info.run_id.0, columns.runs.len());
        columns.runs.push(info.run_id.0);
        columns.namespaces.push(info.namespace.to_string());
        columns.workflows.push(info.workflow.to_string());
        columns.components.push(info.component.to_string());
        columns.versions.push(int(info.version));
        columns.durabilities.push(i16::from(info.durability == Durability::Strict));
        columns.seeds.push(info.seed.0.to_vec());
        columns.keys.push(idempotency_key.clone());
        columns.inputs.push(seal(key, input.as_bytes())?);
        columns.started_ats.push(info.started_at.into());
        columns.deadline_ats.push(info.deadline.map(Into::into));
        columns.states.push(0);
        columns.results.push(None);
        columns.closed_ats.push(None);
        columns.codes.push(None);
        columns.tags.push(tags_column(tags));
        columns.priorities.push((!info.priority.is_default()).then(|| info.priority.code()));
        Ok(())
    }

    fn add_close(&mut self, run_id: RunId, key: Option<&PayloadKey>, close: &Close) -> Result<()> {
        let Close { state, result, code, at } = close;
        if let Some(index) = self.plain.remove(&run_id.0) {
            self.starts.states[index] = *state as i16;
            self.starts.results[index] = Some(seal(key, result.as_bytes())?);
            self.starts.codes[index].clone_from(code);
            self.starts.closed_ats[index] = Some((*at).into());
            return Ok(());
        }
        self.ends.runs.push(run_id.0);
        self.ends.states.push(*state as i16);
        self.ends.results.push(seal(key, result.as_bytes())?);
        self.ends.ats.push((*at).into());
        self.ends.codes.push(code.clone());
        Ok(())
    }

    fn add_event(&mut self, run_id: RunId, key: Option<&PayloadKey>, event: &Event) -> Result<()> {
        let columns = &mut self.events;
        columns.runs.push(run_id.0);
        columns.seqs.push(int(event.seq));
        columns.ats.push(event.at.into());
        match &event.kind {
            EventKind::Completed { call, outcome, attempt, inbox } => {
                let (failed, outcome) = outcome_columns(key, outcome)?;
                columns.kinds.push(match call.ask {
                    Ask::Step { .. } => KIND_STEP,
                    Ask::Sleep { .. } => KIND_SLEEP,
                    Ask::Receive { .. } => KIND_SIGNAL,
                    Ask::Child { .. } => KIND_CHILD,
                    Ask::Send { .. } => KIND_SEND,
                    Ask::ReceiveUpdate { .. } => KIND_UPDATE,
                });
                columns.calls.push(Some(int(call.id)));
                columns.names.push(call.ask.name().to_owned());
                columns.inputs.push(Some(seal(key, call.ask.input().as_bytes())?));
                columns.attempts.push(int(*attempt));
                columns.failed.push(failed);
                columns.outcomes.push(Some(outcome));
                columns.asked_ats.push(Some(call.asked_at.into()));
                columns.inbox.push(*inbox);
            }
            EventKind::CancelRequested { reason, inbox } => {
                columns.kinds.push(KIND_CANCEL_REQUESTED);
                columns.calls.push(None);
                columns.names.push(reason.as_str().to_owned());
                columns.inputs.push(None);
                columns.attempts.push(0);
                columns.failed.push(false);
                columns.outcomes.push(None);
                columns.asked_ats.push(None);
                columns.inbox.push(*inbox);
            }
        }
        Ok(())
    }

    fn add_attempt(&mut self, run_id: RunId, key: Option<&PayloadKey>, attempt: &Attempt) -> Result<()> {
        let columns = &mut self.attempts;
        columns.runs.push(run_id.0);
        columns.calls.push(int(attempt.call));
        columns.attempts.push(int(attempt.attempt));
        columns.steps.push(attempt.step.as_ref().map(Name::to_string));
        columns.limits.push(attempt.attempt_limit.map(int));
        let failure = attempt.failure.as_ref().map(Payload::of);
        columns.failures.push(failure.map(|failure| seal(key, failure.as_bytes())).transpose()?);
        let heartbeat = attempt.heartbeat.as_ref();
        columns.heartbeats.push(heartbeat.map(|heartbeat| seal(key, heartbeat.as_bytes())).transpose()?);
        columns.started_ats.push(attempt.started_at.into());
        columns.ended_ats.push(attempt.ended_at.map(Into::into));
        columns.next_ats.push(attempt.next_at.map(Into::into));
        Ok(())
    }

    fn add_log(&mut self, run_id: RunId, key: Option<&PayloadKey>, source: Source, line: &LogLine) -> Result<()> {
        let (source, attempt) = match source {
            Source::Workflow(generation) => (-1, int(generation)),
            Source::Step(call, attempt) => (int(call), int(attempt)),
        };
        let columns = &mut self.logs;
        columns.runs.push(run_id.0);
        columns.sources.push(source);
        columns.attempts.push(attempt);
        columns.numbers.push(int(line.number));
        columns.levels.push(level_code(line.level));
        columns.messages.push(match key {
            Some(key) => key.seal_text(&line.message)?,
            None => kept_text(&line.message),
        });
        Ok(())
    }

    fn add_value(&mut self, run_id: RunId, key: Option<&PayloadKey>, name: &Name, value: &Payload) -> Result<()> {
        let (columns, value) = (&mut self.values, seal(key, value.as_bytes())?);
        // One statement cannot write a row twice: the last value wins here already.
        let before = columns.runs.iter().zip(&columns.keys).position(|(run, k)| *run == run_id.0 && **k == **name);
        if let Some(before) = before {
            columns.values[before] = value;
            return Ok(());
        }
        columns.runs.push(run_id.0);
        columns.keys.push(name.to_string());
        columns.values.push(value);
        Ok(())
    }

    fn add_tags(&mut self, run_id: RunId, tags: &Tags) {
        // A run that begins in this batch begins with them.
        if let Some(index) = self.plain.get(&run_id.0) {
            self.starts.tags[*index] = tags_column(tags);
            return;
        }
        let (columns, tags) = (&mut self.taggings, tags_column(tags).unwrap_or_default());
        // As with values.
        match columns.runs.iter().position(|run| *run == run_id.0) {
            Some(before) => columns.tags[before] = tags,
            None => {
                columns.runs.push(run_id.0);
                columns.tags.push(tags);
            }
        }
    }

    fn add_child(&mut self, run_id: RunId, key: Option<&PayloadKey>, child: &NewChild) -> Result<()> {
        let columns = &mut self.children;
        columns.runs.push(run_id.0);
        columns.calls.push(int(child.call));
        columns.ids.push(child.run_id.0);
        columns.workflows.push(child.workflow.to_string());
        columns.inputs.push(seal(key, child.input.as_bytes())?);
        columns.seeds.push(child.seed.0.to_vec());
        columns.abandon.push(child.options.abandon);
        columns.detached.push(child.options.detached);
        Ok(())
    }

    fn add_continuation(
        &mut self,
        run_id: RunId,
        key: Option<&PayloadKey>,
        origin: &Origin,
        input: &Payload,
    ) -> Result<()> {
        let columns = &mut self.continuations;
        columns.runs.push(run_id.0);
        columns.generations.push(int(origin.generation));
        columns.seqs.push(int(origin.seq));
        columns.calls.push(int(origin.call));
        columns.inputs.push(seal(key, input.as_bytes())?);
        columns.ats.push(origin.at.into());
        columns.told.push(origin.told.map(|reason| reason.as_str().to_owned()));
        Ok(())
    }

    fn add_park(&mut self, run_id: RunId, park: &Park) {
        let columns = &mut self.parks;
        columns.runs.push(run_id.0);
        columns.wake_ats.push(park.wake_at.map(Into::into));
        columns.signals.push(joined(&park.signals));
        columns.updates.push(joined(&park.updates));
        columns.strikes.push(i16::try_from(park.strikes).unwrap_or(i16::MAX));
        columns.open_calls.push(park.open_calls.as_bytes().to_vec());
    }

    /// One call, one commit. Returns the runs whose end was not as asked, and those that something has come of it for.
    pub(super) async fn send(self, connection: &mut PgConnection, lease: &Lease) -> Result<Vec<(Uuid, i16)>> {
        let call = sqlx::query_as(AssertSqlSafe(COMMIT.as_str())).bind(lease.host_id.0).bind(lease.epoch);
        let call = self
            .taggings
            .bind(self.values.bind(self.logs.bind(self.attempts.bind(self.events.bind(self.starts.bind(call))))));
        let call = self.discards.bind(self.answers.bind(self.releases.bind(self.children.bind(call))));
        let call = self.parks.bind(self.ends.bind(self.continuations.bind(call)));
        Ok(call.fetch_all(connection).await?)
    }
}

fn outcome_columns(key: Option<&PayloadKey>, outcome: &Outcome) -> Result<(bool, Vec<u8>)> {
    Ok(match outcome {
        Outcome::Ok(payload) => (false, seal(key, payload.as_bytes())?),
        Outcome::Failed(failure) => (true, seal(key, Payload::of(failure).as_bytes())?),
    })
}

/// A text that is not sealed: without the one character that Postgres cannot keep, and not to be taken for one that is.
fn kept_text(text: &str) -> String {
    let text = text.replace('\0', "\u{fffd}");
    if sealed_text(&text).is_some() { format!("\u{fffd}{text}") } else { text }
}

/// Names have no commas.
fn joined(names: &[Name]) -> String {
    names.iter().map(|name| &**name).collect::<Vec<_>>().join(",")
}
