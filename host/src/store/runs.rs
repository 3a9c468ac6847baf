//! Reading where runs stand.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::lines::RunLine;
use super::schedule::durability;
use super::seals::sealed_among;
use super::{Result, Store};
use crate::model::{Durability, Lineage, Namespace, Payload, Priority, RunId, RunState, Tags, Timestamp};

/// All about one run but its history.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// Its id.
    pub run_id: RunId,
    /// Whose.
    pub namespace: String,
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
    pub idempotency_key: Option<String>,
    /// What it was started with.
    pub input: Payload,
    /// Its result, its failure, or why it is quarantined.
    pub result: Option<Payload>,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// When somebody asked it to stop.
    pub cancelled_at: Option<Timestamp>,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// Length of its history.
    pub events: u32,
    /// When it wakes by itself.
    pub wake_at: Option<Timestamp>,
    /// What it waits for.
    pub open_calls: Option<Payload>,
    /// When it is asked to stop by itself.
    pub deadline_at: Option<Timestamp>,
    /// The run that started it.
    pub parent_run_id: Option<RunId>,
    /// How often it has continued as new.
    pub generation: u32,
    /// What it is found by.
    pub tags: Tags,
    /// Where it was rewound, and what it was forked from.
    pub lineage: Lineage,
    /// Before which others it is taken up, and after which.
    pub priority: Priority,
    /// Of the runs of its workflow that have the same, so many may be under way at once.
    pub concurrency_key: Option<String>,
}

#[derive(sqlx::FromRow)]
pub(super) struct SummaryRow {
    pub(super) run_id: Uuid,
    pub(super) namespace: String,
    pub(super) workflow: String,
    pub(super) component: String,
    pub(super) version: i32,
    pub(super) state: i16,
    pub(super) durability: i16,
    pub(super) idempotency_key: Option<String>,
    pub(super) input: Vec<u8>,
    pub(super) result: Option<Vec<u8>>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) cancelled_at: Option<DateTime<Utc>>,
    pub(super) closed_at: Option<DateTime<Utc>>,
    pub(super) events: i32,
    pub(super) wake_at: Option<DateTime<Utc>>,
    pub(super) open_calls: Option<Vec<u8>>,
    pub(super) deadline_at: Option<DateTime<Utc>>,
    pub(super) parent_run_id: Option<Uuid>,
    pub(super) generation: i32,
    pub(super) tags: Option<Vec<String>>,
    pub(super) lineage: Option<String>,
    pub(super) priority: i16,
    pub(super) concurrency_key: Option<String>,
}

impl Store {
    /// A run of a namespace, archived or not; `None` if there is no such.
    pub async fn get_run(&self, namespace: &Namespace, run_id: RunId) -> Result<Option<RunSummary>> {
        let mut row: Option<SummaryRow> = sqlx::query_as("SELECT * FROM get_run($1, $2)")
            .bind(&**namespace)
            .bind(run_id.0)
            .fetch_optional(&mut *self.tenant(namespace).await?)
            .await?;
        if row.is_none() {
            row = Box::pin(self.archived_rest(namespace, run_id)).await?.run.map(RunLine::into_summary);
        }
        let payloads = row.iter_mut().flat_map(|row| [Some(&mut row.input), row.result.as_mut()]).flatten();
        self.open(namespace, sealed_among(payloads)).await?;
        Ok(row.map(Into::into))
    }

    /// Which of these runs, of whatever namespaces, are not open.
    pub async fn not_open(&self, runs: &[RunId]) -> Result<Vec<RunId>> {
        let runs: Vec<Uuid> = runs.iter().map(|run| run.0).collect();
        let not_open: Vec<Uuid> = sqlx::query_scalar("SELECT not_open($1)").bind(runs).fetch_all(&self.pool).await?;
        Ok(not_open.into_iter().map(RunId).collect())
    }
}

/// The codes of the SQL function `run_state` are the places in this list.
pub(super) fn state(code: i16) -> RunState {
    usize::try_from(code).ok().and_then(|code| RunState::ALL.get(code)).copied().unwrap_or(RunState::Quarantined)
}

pub(super) fn state_code(state: RunState) -> i16 {
    RunState::ALL.iter().position(|other| *other == state).and_then(|code| i16::try_from(code).ok()).unwrap_or(0)
}

impl From<SummaryRow> for RunSummary {
    fn from(row: SummaryRow) -> Self {
        Self {
            run_id: RunId(row.run_id),
            namespace: row.namespace,
            workflow: row.workflow,
            component: row.component,
            version: row.version.unsigned_abs(),
            state: state(row.state),
            durability: durability(row.durability),
            idempotency_key: row.idempotency_key,
            input: Payload::stored(row.input),
            result: row.result.map(Payload::stored),
            started_at: row.started_at.into(),
            cancelled_at: row.cancelled_at.map(Into::into),
            closed_at: row.closed_at.map(Into::into),
            events: row.events.unsigned_abs(),
            wake_at: row.wake_at.map(Into::into),
            open_calls: row.open_calls.map(Payload::stored),
            deadline_at: row.deadline_at.map(Into::into),
            parent_run_id: row.parent_run_id.map(RunId),
            generation: row.generation.unsigned_abs(),
            tags: Tags::stored(row.tags.unwrap_or_default()),
            // For people only: whoever is at the run reads it where it must be right.
            lineage: Lineage::from_text(row.lineage.as_deref()).unwrap_or_default(),
            priority: Priority::stored(row.priority),
            concurrency_key: row.concurrency_key,
        }
    }
}
