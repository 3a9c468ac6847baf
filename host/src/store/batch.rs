//! What a host writes about its runs, gathered into the columns of one call of `commit_batch`.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::history::{Attempt, level_code};
use super::{Lease, Result};
use crate::model::{
    Ask, CallId, ChildOptions, Event, EventKind, LogLine, Name, Origin, Outcome, Payload, RunId, Seed, Timestamp,
};

/// One thing that is written about a run.
#[derive(Clone, Debug)]
pub enum Record {
    /// Something was delivered to the guest.
    Event(Event),
    /// An attempt of a step failed, or has been running for long.
    Attempt(Attempt),
    /// A guest wrote a line.
    Log(Source, LogLine),
    /// The run shows a value.
    Publish(Name, Payload),
    /// A child is started.
    StartChild(NewChild),
    /// Nobody waits any more for the child that a call started.
    ReleaseChild(CallId),
    /// The update that was delivered to a call is answered.
    Answer(CallId, Outcome),
    /// A row of the inbox that nobody wants.
    Discard(i64),
    /// The run goes on with an empty history, from there, with this input.
    Continue(Origin, Payload),
    /// The run ended, or cannot go on.
    Close(CloseState, Payload),
    /// The run waits, and this host lets go of it.
    Park(Park),
}

/// A child to be started.
#[derive(Clone, Debug)]
pub struct NewChild {
    /// The call that starts it.
    pub call: CallId,
    /// Its id.
    pub run_id: RunId,
    /// Its workflow.
    pub workflow: Name,
    /// What it is started with.
    pub input: Payload,
    /// What its randomness comes from.
    pub seed: Seed,
    /// How it hangs together with its parent.
    pub options: ChildOptions,
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The workflow, in one of its generations.
    Workflow(u32),
    /// An attempt of a step.
    Step(CallId, u32),
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseState {
    /// With a result.
    Completed = 1,
    /// With a failure.
    Failed = 2,
    /// It was asked to stop.
    Cancelled = 3,
    /// It cannot be continued safely.
    Quarantined = 4,
}

/// What a run waits for.
#[derive(Clone, Debug)]
pub struct Park {
    /// The earliest of its timers, retries and deadline.
    pub wake_at: Option<Timestamp>,
    /// The signals that wake it.
    pub signals: Vec<Name>,
    /// The updates that wake it.
    pub updates: Vec<Name>,
    /// Activations in a row that failed without progress.
    pub strikes: u16,
    /// For people: its open calls.
    pub open_calls: Payload,
}

macro_rules! columns {
    ($($name:ident { $($column:ident: $type:ty),+ $(,)? })+) => {
        $(
            #[derive(Default)]
            struct $name { $($column: Vec<$type>),+ }
        )+
    };
}

type Time = DateTime<Utc>;

columns! {
    Events {
        runs: Uuid, seqs: i32, kinds: i16, calls: Option<i32>, names: String, inputs: Option<Vec<u8>>, attempts: i32,
        failed: bool, outcomes: Option<Vec<u8>>, asked_ats: Option<Time>, ats: Time, inbox: Option<i64>,
    }
    Attempts {
        runs: Uuid, calls: i32, attempts: i32, failures: Option<Vec<u8>>, heartbeats: Option<Vec<u8>>, started_ats: Time,
        ended_ats: Option<Time>, next_ats: Option<Time>,
    }
    Logs { runs: Uuid, sources: i32, attempts: i32, numbers: i32, levels: i16, messages: String }
    Values { runs: Uuid, keys: String, values: Vec<u8> }
    Children {
        runs: Uuid, calls: i32, ids: Uuid, workflows: String, inputs: Vec<u8>, seeds: Vec<u8>, abandon: bool,
        detached: bool,
    }
    Releases { runs: Uuid, calls: i32 }
    Answers { runs: Uuid, calls: i32, failed: bool, answers: Vec<u8> }
    Discards { runs: Uuid, inbox: i64 }
    Continuations { runs: Uuid, generations: i32, seqs: i32, calls: i32, inputs: Vec<u8>, ats: Time, told: Option<String> }
    Ends { runs: Uuid, states: i16, results: Vec<u8> }
    Parks { runs: Uuid, wake_ats: Option<Time>, signals: String, updates: String, strikes: i16, open_calls: Vec<u8> }
}

/// Columns that grow as records are added.
#[derive(Default)]
pub(super) struct Batch {
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
}

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
        match record {
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
            Record::Close(state, result) => {
                self.ends.runs.push(run_id.0);
                self.ends.states.push(*state as i16);
                self.ends.results.push(result.as_bytes().to_vec());
            }
            Record::Park(park) => self.add_park(run_id, park),
        }
    }

    fn add_event(&mut self, run_id: RunId, event: &Event) {
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

    /// One call, one commit. Returns the runs whose end was not as asked, and those that something has come of it for.
    pub(super) async fn send(self, connection: &mut PgConnection, lease: &Lease) -> Result<Vec<(Uuid, i16)>> {
        let Self { events, attempts, logs, values, children, releases, answers, discards, continuations, ends, parks } =
            self;
        let call = sqlx::query_as(
            "SELECT run_id, verdict FROM commit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
             $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, \
             $37, $38, $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57, \
             $58, $59, $60, $61, $62, $63)",
        );
        let call = call.bind(lease.host_id.0).bind(lease.epoch);
        let call = call.bind(events.runs).bind(events.seqs).bind(events.kinds).bind(events.calls).bind(events.names);
        let call = call.bind(events.inputs).bind(events.attempts).bind(events.failed).bind(events.outcomes);
        let call = call.bind(events.asked_ats).bind(events.ats).bind(events.inbox);
        let call = call.bind(attempts.runs).bind(attempts.calls).bind(attempts.attempts).bind(attempts.failures);
        let call = call.bind(attempts.heartbeats).bind(attempts.started_ats).bind(attempts.ended_ats);
        let call = call.bind(attempts.next_ats);
        let call = call.bind(logs.runs).bind(logs.sources).bind(logs.attempts).bind(logs.numbers).bind(logs.levels);
        let call = call.bind(logs.messages).bind(values.runs).bind(values.keys).bind(values.values);
        let call = call.bind(children.runs).bind(children.calls).bind(children.ids).bind(children.workflows);
        let call = call.bind(children.inputs).bind(children.seeds).bind(children.abandon).bind(children.detached);
        let call = call.bind(releases.runs).bind(releases.calls);
        let call = call.bind(answers.runs).bind(answers.calls).bind(answers.failed).bind(answers.answers);
        let call = call.bind(discards.runs).bind(discards.inbox);
        let call = call.bind(continuations.runs).bind(continuations.generations).bind(continuations.seqs);
        let call = call.bind(continuations.calls).bind(continuations.inputs).bind(continuations.ats);
        let call = call.bind(continuations.told);
        let call = call.bind(ends.runs).bind(ends.states).bind(ends.results);
        let call = call.bind(parks.runs).bind(parks.wake_ats).bind(parks.signals).bind(parks.updates);
        let call = call.bind(parks.strikes).bind(parks.open_calls);
        Ok(call.fetch_all(connection).await?)
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
