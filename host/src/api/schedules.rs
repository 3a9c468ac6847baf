//! Schedules, as the API shows them.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Code, Problem};
use crate::model::{Durability, Overlap, Payload, Priority, ScheduleSpec, SpecText, Tags, Timestamp};
use crate::store::{ScheduleSummary, TickNote};
use crate::worker::{BackfillError, PutScheduleError, TriggerError};

/// A schedule.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ScheduleView {
    /// Its name.
    pub schedule: String,
    /// The workflow that it starts.
    pub workflow: String,
    /// What that is started with; not in lists.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub input: Option<Payload>,
    /// When its guest sees events.
    pub durability: Durability,
    /// How long a run may take: then it is asked to stop.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    #[schema(value_type = Option<String>)]
    pub timeout: Option<Duration>,
    /// What each of its runs is found by.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    #[schema(value_type = HashMap<String, String>)]
    pub tags: Tags,
    /// Which runs of the namespace are taken up first when there is not room for all: 1 first, 5 last.
    #[serde(default)]
    #[schema(value_type = u8)]
    pub priority: Priority,
    /// Of the runs of its workflow that have the same, so many may be under way at once as was set for the workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// When it ticks.
    #[schema(value_type = SpecText)]
    pub spec: ScheduleSpec,
    /// What becomes of a tick while the run of an earlier one is open.
    pub overlap: Overlap,
    /// By how much ticks may be late, each by a length of its own.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub jitter: Duration,
    /// How late a tick may be and still start its run.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub catch_up: Duration,
    /// Since when it has been paused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paused_at: Option<Timestamp>,
    /// When its next ticks are, without jitter; when it is paused, as if it were not. None: there are none any more.
    #[schema(value_type = Vec<String>)]
    pub next_ticks: Vec<Timestamp>,
    /// A tick that waits for the end of the runs that are open.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub queued_tick: Option<Timestamp>,
    /// How many ticks have started a run.
    pub started: u64,
    /// How many have started nothing, because a run was open.
    pub skipped: u64,
    /// How many were too late when a host came to deal with them.
    pub missed: u64,
    /// How many could start nothing.
    pub failed: u64,
    /// What became of the last ones, the newest first; not in lists.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub last_ticks: Vec<TickView>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// What became of a tick.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TickView {
    /// Which; of several, the first.
    #[schema(value_type = String, format = DateTime)]
    pub tick: Timestamp,
    /// `started`, `skipped`, `missed` or `failed`; `triggered` or `backfilled`, if somebody has asked for it.
    pub outcome: String,
    /// Of how many, if it is not one.
    #[serde(skip_serializing_if = "is_one", default = "one")]
    pub count: u32,
    /// The run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(format = Uuid)]
    pub run_id: Option<String>,
    /// Failed: the code of the reason.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// When it came to that.
    #[schema(value_type = String, format = DateTime)]
    pub noted_at: Timestamp,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_one(count: &u32) -> bool {
    *count == 1
}

fn one() -> u32 {
    1
}

impl ScheduleView {
    /// With its next ticks, at most so many.
    pub(super) fn new(summary: ScheduleSummary, ticks: usize) -> Self {
        let ScheduleSummary { name, schedule, next_tick, queued_tick, paused_at, counts, .. } = summary;
        let next_tick = if paused_at.is_some() { schedule.spec.next_after(summary.read_at) } else { next_tick };
        let next_ticks = std::iter::successors(next_tick, |tick| schedule.spec.next_after(*tick)).take(ticks).collect();
        Self {
            schedule: name.to_string(),
            workflow: schedule.workflow.to_string(),
            input: None,
            durability: schedule.durability,
            timeout: schedule.timeout,
            tags: schedule.tags,
            priority: schedule.priority,
            concurrency_key: schedule.concurrency_key,
            overlap: schedule.overlap,
            jitter: schedule.jitter,
            catch_up: schedule.catch_up,
            paused_at,
            next_ticks,
            queued_tick,
            started: counts.started,
            skipped: counts.skipped,
            missed: counts.missed,
            failed: counts.failed,
            last_ticks: Vec::new(),
            created_at: summary.created_at,
            updated_at: summary.updated_at,
            spec: schedule.spec,
        }
    }
}

impl From<TickNote> for TickView {
    fn from(note: TickNote) -> Self {
        let TickNote { tick, outcome, count, run_id, reason, noted_at } = note;
        let (outcome, run_id) = (outcome.as_str().to_owned(), run_id.map(|run_id| run_id.to_string()));
        Self { tick, outcome, count, run_id, reason, noted_at }
    }
}

/// There is no such schedule; whether another namespace has one is not said.
pub(super) fn no_such_schedule() -> Problem {
    Problem::new(Code::NoSuchSchedule, "check its name, and the namespace in the address")
}

impl From<PutScheduleError> for Problem {
    fn from(error: PutScheduleError) -> Self {
        let code = match error {
            PutScheduleError::Store(error) => return error.into(),
            PutScheduleError::Invalid(_) => Code::InvalidSchedule,
            PutScheduleError::TooMany(_) => Code::TooManySchedules,
            PutScheduleError::NoSuchWorkflow(_) => Code::NoSuchWorkflow,
        };
        Self::new(code, error.to_string())
    }
}

impl From<TriggerError> for Problem {
    fn from(error: TriggerError) -> Self {
        match error {
            TriggerError::Store(error) => error.into(),
            TriggerError::NoSuchSchedule => no_such_schedule(),
            TriggerError::NoSuchWorkflow => Self::new(Code::NoSuchWorkflow, error.to_string()),
        }
    }
}

impl From<BackfillError> for Problem {
    fn from(error: BackfillError) -> Self {
        match error {
            BackfillError::Trigger(error) => error.into(),
            BackfillError::Range => Self::new(Code::BadRequest, error.to_string()),
            BackfillError::TooMany(_) => Self::new(Code::TooManyTicks, error.to_string()),
        }
    }
}
