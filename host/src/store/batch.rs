//! Records, gathered into the columns of one call of `commit_batch`.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::columns::{
    Answers, Attempts, Children, Continuations, Discards, Ends, Events, Logs, Parks, Releases, Starts, Values,
};
use super::history::{Attempt, level_code};
use super::record::{Close, NewChild, Park, Record, Source, Start};
use super::{CloseState, Lease, Result, RunSummary};
use crate::model::{Ask, Durability, Event, EventKind, LogLine, Name, Origin, Outcome, Payload, RunId, RunState};

/// Columns that grow as records are added.
#[derive(Default)]
pub(super) struct Batch {
    starts: Starts,
    events: Events,
    attempts: Attempts,
    logs: Logs,
    values: Values,
    children: Children,
    releases: Releases,
    answers: Answers,
    discards: Discards,
    continuations: Continuations,
    ends: Ends,
    parks: Parks,
    /// Runs that begin in this batch and have left nothing but events and lines so far.
    plain: HashMap<Uuid, Plain>,
    /// Those of them that ended in it.
    ended: Vec<RunSummary>,
}

/// A run that may be over in the commit that it begins in: then it is one row, written once.
struct Plain {
    /// Its place among the starts.
    index: usize,
    start: Start,
    events: u32,
}

/// One parameter for each column, after the host and its epoch.
static COMMIT: LazyLock<String> = LazyLock::new(|| {
    let columns = Starts::COUNT + Events::COUNT + Attempts::COUNT + Logs::COUNT + Values::COUNT + Children::COUNT;
    let columns = columns + Releases::COUNT + Answers::COUNT + Discards::COUNT + Continuations::COUNT;
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
    pub(super) fn add(&mut self, run_id: RunId, record: &Record) {
        if !matches!(record, Record::Start(_) | Record::Event(_) | Record::Log(..) | Record::Close(_)) {
            self.plain.remove(&run_id.0);
        }
        match record {
            Record::Start(start) => self.add_start(start),
            Record::Event(event) => self.add_event(run_id, event),
            Record::Attempt(attempt) => self.add_attempt(run_id, attempt),
            Record::Log(source, line) => self.add_log(run_id, *source, line),
            Record::Publish(key, value) => self.add_value(run_id, key, value),
            Record::StartChild(child) => self.add_child(run_id, child),
            Record::ReleaseChild(call) => {
                self.releases.runs.push(run_id.0);
                self.releases.calls.push(int(*call));
            }
            Record::Answer(call, answer) => {
                let (failed, answer) = outcome_columns(answer);
                self.answers.runs.push(run_id.0);
                self.answers.calls.push(int(*call));
                self.answers.failed.push(failed);
                self.answers.answers.push(answer);
            }
            Record::Discard(inbox) => {
                self.discards.runs.push(run_id.0);
                self.discards.inbox.push(*inbox);
            }
            Record::Continue(origin, input) => self.add_continuation(run_id, origin, input),
            Record::Close(close) => self.add_close(run_id, close),
            Record::Park(park) => self.add_park(run_id, park),
        }
    }

    fn add_start(&mut self, start: &Start) {
        let Start { info, input, idempotency_key } = start;
        let columns = &mut self.starts;
        self.plain.insert(info.run_id.0, Plain { index: columns.runs.len(), start: start.clone(), events: 0 });
        columns.runs.push(info.run_id.0);
        columns.namespaces.push(info.namespace.to_string());
        columns.workflows.push(info.workflow.to_string());
        columns.components.push(info.component.to_string());
        columns.versions.push(int(info.version));
        columns.durabilities.push(i16::from(info.durability == Durability::Strict));
        columns.seeds.push(info.seed.0.to_vec());
        columns.keys.push(idempotency_key.clone());
        columns.inputs.push(input.as_bytes().to_vec());
        columns.started_ats.push(info.started_at.into());
        columns.deadline_ats.push(info.deadline.map(Into::into));
        columns.states.push(0);
        columns.results.push(None);
        columns.closed_ats.push(None);
    }

    fn add_close(&mut self, run_id: RunId, close: &Close) {
        let Close { state, result, at } = close;
        if let Some(Plain { index, start, events }) = self.plain.remove(&run_id.0) {
            self.starts.states[index] = *state as i16;
            self.starts.results[index] = Some(result.as_bytes().to_vec());
            self.starts.closed_ats[index] = (*state != CloseState::Quarantined).then(|| (*at).into());
            self.ended.push(start.ended(close, events));
            return;
        }
        self.ends.runs.push(run_id.0);
        self.ends.states.push(*state as i16);
        self.ends.results.push(result.as_bytes().to_vec());
        self.ends.ats.push((*at).into());
    }

    fn add_event(&mut self, run_id: RunId, event: &Event) {
        if let Some(plain) = self.plain.get_mut(&run_id.0) {
            plain.events += 1;
        }
        let columns = &mut self.events;
        columns.runs.push(run_id.0);
        columns.seqs.push(int(event.seq));
        columns.ats.push(event.at.into());
        match &event.kind {
            EventKind::Completed { call, outcome, attempt, inbox } => {
                let (failed, outcome) = outcome_columns(outcome);
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
                columns.inputs.push(Some(call.ask.input().as_bytes().to_vec()));
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
    }

    fn add_attempt(&mut self, run_id: RunId, attempt: &Attempt) {
        let columns = &mut self.attempts;
        columns.runs.push(run_id.0);
        columns.calls.push(int(attempt.call));
        columns.attempts.push(int(attempt.attempt));
        columns.failures.push(attempt.failure.as_ref().map(|failure| Payload::of(failure).as_bytes().to_vec()));
        columns.heartbeats.push(attempt.heartbeat.as_ref().map(|heartbeat| heartbeat.as_bytes().to_vec()));
        columns.started_ats.push(attempt.started_at.into());
        columns.ended_ats.push(attempt.ended_at.map(Into::into));
        columns.next_ats.push(attempt.next_at.map(Into::into));
    }

    fn add_log(&mut self, run_id: RunId, source: Source, line: &LogLine) {
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
        // The one character that Postgres cannot keep in a text.
        columns.messages.push(line.message.replace('\0', "\u{fffd}"));
    }

    fn add_value(&mut self, run_id: RunId, key: &Name, value: &Payload) {
        let columns = &mut self.values;
        // One statement cannot write a row twice: the last value wins here already.
        let before = columns.runs.iter().zip(&columns.keys).position(|(run, k)| *run == run_id.0 && **k == **key);
        if let Some(before) = before {
            columns.values[before] = value.as_bytes().to_vec();
            return;
        }
        columns.runs.push(run_id.0);
        columns.keys.push(key.to_string());
        columns.values.push(value.as_bytes().to_vec());
    }

    fn add_child(&mut self, run_id: RunId, child: &NewChild) {
        let columns = &mut self.children;
        columns.runs.push(run_id.0);
        columns.calls.push(int(child.call));
        columns.ids.push(child.run_id.0);
        columns.workflows.push(child.workflow.to_string());
        columns.inputs.push(child.input.as_bytes().to_vec());
        columns.seeds.push(child.seed.0.to_vec());
        columns.abandon.push(child.options.abandon);
        columns.detached.push(child.options.detached);
    }

    fn add_continuation(&mut self, run_id: RunId, origin: &Origin, input: &Payload) {
        let columns = &mut self.continuations;
        columns.runs.push(run_id.0);
        columns.generations.push(int(origin.generation));
        columns.seqs.push(int(origin.seq));
        columns.calls.push(int(origin.call));
        columns.inputs.push(input.as_bytes().to_vec());
        columns.ats.push(origin.at.into());
        columns.told.push(origin.told.map(|reason| reason.as_str().to_owned()));
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

    /// The runs that began and ended in it.
    pub(super) fn take_ended(&mut self) -> Vec<RunSummary> {
        std::mem::take(&mut self.ended)
    }

    /// One call, one commit. Returns the runs whose end was not as asked, and those that something has come of it for.
    pub(super) async fn send(self, connection: &mut PgConnection, lease: &Lease) -> Result<Vec<(Uuid, i16)>> {
        let call = sqlx::query_as(AssertSqlSafe(COMMIT.as_str())).bind(lease.host_id.0).bind(lease.epoch);
        let call = self.values.bind(self.logs.bind(self.attempts.bind(self.events.bind(self.starts.bind(call)))));
        let call = self.discards.bind(self.answers.bind(self.releases.bind(self.children.bind(call))));
        let call = self.parks.bind(self.ends.bind(self.continuations.bind(call)));
        Ok(call.fetch_all(connection).await?)
    }
}

impl Start {
    /// The run, when it has ended in the commit that it began in: what is not said here cannot have happened yet.
    fn ended(self, close: &Close, events: u32) -> RunSummary {
        let Self { info, input, idempotency_key } = self;
        RunSummary {
            run_id: info.run_id,
            namespace: info.namespace.to_string(),
            workflow: info.workflow.to_string(),
            component: info.component.to_string(),
            version: info.version,
            state: match close.state {
                CloseState::Completed => RunState::Completed,
                CloseState::Failed => RunState::Failed,
                CloseState::Cancelled => RunState::Cancelled,
                CloseState::Quarantined => RunState::Quarantined,
            },
            durability: info.durability,
            idempotency_key,
            input,
            result: Some(close.result.clone()),
            started_at: info.started_at,
            cancelled_at: None,
            closed_at: (close.state != CloseState::Quarantined).then_some(close.at),
            events,
            wake_at: None,
            open_calls: None,
            deadline_at: info.deadline,
            parent_run_id: None,
            generation: 0,
        }
    }
}

fn outcome_columns(outcome: &Outcome) -> (bool, Vec<u8>) {
    match outcome {
        Outcome::Ok(payload) => (false, payload.as_bytes().to_vec()),
        Outcome::Failed(failure) => (true, Payload::of(failure).as_bytes().to_vec()),
    }
}

/// Names have no commas.
fn joined(names: &[Name]) -> String {
    names.iter().map(|name| &**name).collect::<Vec<_>>().join(",")
}
