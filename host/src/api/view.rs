//! What the API shows: the JSON of its answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::{
    Ask, Durability, Event, EventKind, Failure, Fork, GuestLimits, Level, Outcome, Payload, Priority, Retention,
    RunState, Tags, Timestamp,
};
use crate::store::{self, NamespaceSummary, RunListing, RunSummary, Source};

/// A namespace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NamespaceView {
    /// Its name.
    pub namespace: String,
    /// Since when there is one.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Bytes that it keeps in the database, about.
    pub stored_bytes: u64,
    /// Whether payloads that are kept from now on are sealed in the database.
    pub seal_payloads: bool,
    /// The limits that are its own.
    pub own_limits: BTreeMap<String, u64>,
    /// All limits, as they count for it at this host.
    pub limits: BTreeMap<String, u64>,
    /// How long it keeps what has ended.
    pub retention: Retention,
}

impl NamespaceView {
    /// Of a namespace at a host with these limits.
    pub fn new(summary: NamespaceSummary, limits: &GuestLimits) -> Self {
        let NamespaceSummary {
            namespace, limits: own_limits, seal_payloads, created_at, stored_bytes, retention, ..
        } = summary;
        let with = limits.with(&own_limits);
        let limits = GuestLimits::NAMES.iter().filter_map(|name| Some(((*name).to_owned(), with.get(name)?))).collect();
        let stored_bytes = stored_bytes.unsigned_abs();
        Self { namespace, created_at, stored_bytes, seal_payloads, own_limits, limits, retention }
    }
}

/// A run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// Its id.
    #[schema(format = Uuid)]
    pub run_id: String,
    /// Its workflow.
    pub workflow: String,
    /// The component that has the workflow.
    pub component: String,
    /// The version of the component that it is pinned to.
    pub version: u32,
    /// Where it stands.
    pub state: RunState,
    /// When its guest sees events.
    pub durability: Durability,
    /// The key that it was started with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idempotency_key: Option<String>,
    /// What it was started with.
    #[schema(value_type = Value)]
    pub input: Payload,
    /// Completed: its result.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub result: Option<Payload>,
    /// Failed or cancelled: why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<FailureView>)]
    pub failure: Option<Payload>,
    /// Quarantined: why, and what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub report: Option<Payload>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When somebody asked it to stop.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub cancel_requested_at: Option<Timestamp>,
    /// When it is asked to stop by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline_at: Option<Timestamp>,
    /// The run that started it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_run_id: Option<String>,
    /// How often it has continued as new.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub generation: u32,
    /// How often it was rewound.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub rewinds: u32,
    /// The run that it is a fork of.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub forked_from: Option<Fork>,
    /// Which runs of the namespace are taken up first when there is not room for all: 1 first, 5 last.
    #[serde(default)]
    #[schema(value_type = u8)]
    pub priority: Priority,
    /// Of the runs of its workflow that have the same, so many may be under way at once.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub concurrency_key: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// Length of its history.
    pub events: u32,
    /// Waiting: when it wakes by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub wake_at: Option<Timestamp>,
    /// Waiting: what for; the first 100 calls.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Vec<Value>>)]
    pub open_calls: Option<Payload>,
    /// What it is found by.
    #[serde(skip_serializing_if = "Tags::is_empty", default)]
    #[schema(value_type = HashMap<String, String>)]
    pub tags: Tags,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Why something did not succeed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FailureView {
    /// A stable word.
    pub code: String,
    /// One sentence.
    pub message: String,
    /// Anything more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub details: Option<Payload>,
    /// The failure that led to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub cause: Option<Payload>,
    /// Of a step: whether another attempt may help.
    pub retryable: bool,
}

impl From<RunSummary> for RunView {
    fn from(run: RunSummary) -> Self {
        let when = |states: &[RunState]| run.result.clone().filter(|_| states.contains(&run.state));
        Self {
            run_id: run.run_id.to_string(),
            result: when(&[RunState::Completed]),
            failure: when(&[RunState::Failed, RunState::Cancelled]),
            report: when(&[RunState::Quarantined]),
            workflow: run.workflow,
            component: run.component,
            version: run.version,
            state: run.state,
            durability: run.durability,
            idempotency_key: run.idempotency_key,
            input: run.input,
            started_at: run.started_at,
            cancel_requested_at: run.cancelled_at,
            deadline_at: run.deadline_at,
            parent_run_id: run.parent_run_id.map(|parent| parent.to_string()),
            generation: run.generation,
            rewinds: run.lineage.rewinds(run.run_id),
            forked_from: run.lineage.forked_from,
            priority: run.priority,
            concurrency_key: run.concurrency_key,
            closed_at: run.closed_at,
            events: run.events,
            wake_at: run.wake_at,
            open_calls: run.open_calls,
            tags: run.tags,
        }
    }
}

/// A run in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunListingView {
    /// Its id.
    #[schema(format = Uuid)]
    pub run_id: String,
    /// Its workflow.
    pub workflow: String,
    /// The component that has the workflow.
    pub component: String,
    /// The version that it is pinned to.
    pub version: u32,
    /// Where it stands.
    pub state: RunState,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// The run that started it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_run_id: Option<String>,
    /// The code of its failure, or of why it is quarantined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_code: Option<String>,
    /// What it is found by.
    #[serde(skip_serializing_if = "Tags::is_empty", default)]
    #[schema(value_type = HashMap<String, String>)]
    pub tags: Tags,
    /// When it was last quarantined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub quarantined_at: Option<Timestamp>,
    /// How often it was.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub quarantines: u32,
}

impl From<RunListing> for RunListingView {
    fn from(run: RunListing) -> Self {
        Self {
            run_id: run.run_id.to_string(),
            workflow: run.workflow,
            component: run.component,
            version: run.version,
            state: run.state,
            started_at: run.started_at,
            closed_at: run.closed_at,
            parent_run_id: run.parent_run_id.map(|parent| parent.to_string()),
            failure_code: run.failure_code,
            tags: run.tags,
            quarantined_at: run.quarantined_at,
            quarantines: run.quarantines,
        }
    }
}

/// One entry of a run's history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its number.
    pub seq: u32,
    /// The outcome of a `step`, `sleep`, `signal`, `child`, `send` or `update`; or `cancel-requested`, with the reason as its
    /// name.
    pub kind: String,
    /// The call that it answers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call: Option<u32>,
    /// Of the step, signal, update, or the child's workflow.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub name: String,
    /// What the call handed over; of a sleep, its length in microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub input: Option<Payload>,
    /// Of a step: the attempt that it ended with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<u32>,
    /// When the call was made, by the run's own time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub asked_at: Option<Timestamp>,
    /// The run's own time from this event on.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The result of the call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub result: Option<Payload>,
    /// Why the call failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<FailureView>)]
    pub failure: Option<Failure>,
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        let view = Self {
            seq: event.seq,
            kind: "cancel-requested".to_owned(),
            call: None,
            name: match &event.kind {
                EventKind::CancelRequested { reason, .. } => reason.as_str().to_owned(),
                EventKind::Completed { .. } => String::new(),
            },
            input: None,
            attempt: None,
            asked_at: None,
            at: event.at,
            result: None,
            failure: None,
        };
        let EventKind::Completed { call, outcome, attempt, .. } = event.kind else { return view };
        let (result, failure) = match outcome {
            Outcome::Ok(result) => (Some(result), None),
            Outcome::Failed(failure) => (None, Some(failure)),
        };
        Self {
            kind: call.ask.kind().to_owned(),
            call: Some(call.id),
            name: call.ask.name().to_owned(),
            input: (!matches!(call.ask, Ask::Receive { .. } | Ask::ReceiveUpdate { .. })).then(|| call.ask.input()),
            attempt: matches!(call.ask, Ask::Step { .. }).then_some(attempt),
            asked_at: Some(call.asked_at),
            result,
            failure,
            ..view
        }
    }
}

/// An attempt of a step that failed, or that has been running for long.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// Of which call.
    pub call: u32,
    /// Its number.
    pub attempt: u32,
    /// Of which step.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub step: Option<String>,
    /// How many the call may make in all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt_limit: Option<u32>,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// When the next is due.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<FailureView>)]
    pub failure: Option<Failure>,
    /// What it reported last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub heartbeat: Option<Payload>,
}

impl From<store::Attempt> for AttemptView {
    fn from(attempt: store::Attempt) -> Self {
        let store::Attempt { call, attempt, step, attempt_limit, failure, heartbeat, started_at, ended_at, next_at } =
            attempt;
        let step = step.map(|step| step.to_string());
        Self { call, attempt, step, attempt_limit, started_at, ended_at, next_at, failure, heartbeat }
    }
}

/// A line of a run's log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogView {
    /// When it was committed.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// Of a step's line: its call.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub call: Option<u32>,
    /// Of a step's line: its attempt.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<u32>,
    /// The text.
    pub message: String,
}

impl From<store::LogRow> for LogView {
    fn from(line: store::LogRow) -> Self {
        let (call, attempt) = match line.source {
            Source::Workflow(_) => (None, None),
            Source::Step(call, attempt) => (Some(call), Some(attempt)),
        };
        Self { at: line.at, level: line.level, call, attempt, message: line.message }
    }
}
