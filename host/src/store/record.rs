//! What a host writes about its runs.

use std::sync::Arc;

use super::Attempt;
use crate::model::{
    Ask, CallId, ChildOptions, Event, EventKind, Failure, LogLine, Name, Origin, Outcome, Payload, RunId, RunInfo,
    Seed, Tags, Timestamp,
};

/// One thing that is written about a run.
#[derive(Clone, Debug)]
pub enum Record {
    /// It is accepted, and this host is at it.
    Start(Start),
    /// Something was delivered to the guest.
    Event(Event),
    /// An attempt of a step failed, or has been running for long.
    Attempt(Attempt),
    /// A guest wrote a line.
    Log(Source, LogLine),
    /// The run shows a value.
    Publish(Name, Payload),
    /// All the tags that the run has now.
    Tags(Tags),
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
    Close(Close),
    /// The run waits, and this host lets go of it.
    Park(Park),
}

impl Record {
    /// Bytes of the documents in it, which are most of what it weighs.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Start(start) => start.input.len() + start.tags.bytes(),
            Self::Tags(tags) => tags.bytes(),
            Self::Event(event) => match &event.kind {
                EventKind::Completed { call, outcome, .. } => call.ask.input().len() + outcome_bytes(outcome),
                EventKind::CancelRequested { .. } => 0,
            },
            Self::Log(_, line) => line.message.len(),
            Self::Publish(_, value) | Self::Continue(_, value) => value.len(),
            Self::Answer(_, answer) => outcome_bytes(answer),
            Self::StartChild(child) => child.input.len(),
            Self::Close(close) => close.result.len(),
            Self::Attempt(attempt) => {
                let failure = attempt.failure.as_ref().map_or(0, failure_bytes);
                failure + attempt.heartbeat.as_ref().map_or(0, Payload::len)
            }
            Self::ReleaseChild(_) | Self::Discard(_) | Self::Park(_) => 0,
        }
    }
}

impl Event {
    /// Bytes that were in the inbox, and are in the event now.
    pub(super) fn moved_bytes(&self) -> usize {
        match &self.kind {
            EventKind::Completed { call, outcome, .. }
                if matches!(call.ask, Ask::Receive { .. } | Ask::ReceiveUpdate { .. }) =>
            {
                outcome_bytes(outcome)
            }
            _ => 0,
        }
    }
}

fn outcome_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Ok(result) => result.len(),
        Outcome::Failed(failure) => failure_bytes(failure),
    }
}

fn failure_bytes(failure: &Failure) -> usize {
    let documents = [&failure.details, &failure.cause].into_iter().flatten().map(Payload::len).sum::<usize>();
    failure.message.len() + documents
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

/// A run that is accepted, as the first thing that is written about it.
#[derive(Clone, Debug)]
pub struct Start {
    /// What is fixed about it.
    pub info: Arc<RunInfo>,
    /// What it is started with.
    pub input: Payload,
    /// The key that its id comes from.
    pub idempotency_key: Option<String>,
    /// What it is found by.
    pub tags: Tags,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct Close {
    /// How it ends.
    pub state: CloseState,
    /// The result, the failure, or why it cannot go on.
    pub result: Payload,
    /// Of a failure or a report, its code: what the run is found by when the document is sealed.
    pub code: Option<String>,
    /// When.
    pub at: Timestamp,
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
