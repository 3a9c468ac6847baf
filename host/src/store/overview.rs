//! How many runs stand, and what is waiting where.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::runs::state;
use super::seals::sealed_among;
use super::{Result, Store};
use crate::model::{Failure, Namespace, RunId, RunState, Timestamp};

/// A step of a run.
#[derive(Clone, Debug)]
pub struct StepReadiness {
    /// Of which run.
    pub run_id: RunId,
    /// Its call.
    pub call: u32,
    /// Its name, where it is known.
    pub step: Option<String>,
    /// `completed`, `failed`, `running`, `retrying` or `abandoned`.
    pub state: String,
    /// Whether all that it depends on is there.
    pub dependencies_satisfied: bool,
    /// Whether another attempt will be made.
    pub retry_eligible: bool,
    /// When.
    pub next_retry_at: Option<Timestamp>,
    /// Attempts that were made, or are under way.
    pub attempts: u32,
    /// How many may be made in all.
    pub attempt_limit: Option<u32>,
    /// Why the last attempt that failed did.
    pub last_failure: Option<Failure>,
    /// When it was asked for, by the run's own time.
    pub asked_at: Option<Timestamp>,
    /// When it ended, by the run's own time.
    pub ended_at: Option<Timestamp>,
}

/// Where a run stands, and what to do about it. `migrations/0030_overview.sql` has the words.
#[derive(Clone, Debug)]
pub struct RunContext {
    /// Which run.
    pub run_id: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The component that has the workflow.
    pub component: String,
    /// The version that it is pinned to.
    pub version: u32,
    /// Where it stands.
    pub execution_status: RunState,
    /// How it is.
    pub health: String,
    /// What to do.
    pub recommended_action: String,
    /// The part of its steps that is done, of those that are known.
    pub completion: Option<f64>,
    /// Steps by their state.
    pub steps: StepCounts,
    /// What it waits for.
    pub open_calls: u32,
    /// What has come for it and was not delivered yet.
    pub letters: u32,
    /// Children that it waits for.
    pub children: u32,
    /// Length of its history.
    pub events: u32,
    /// Activations in a row that came to nothing.
    pub strikes: u32,
    /// The code of its failure, or of why it is quarantined.
    pub failure_code: Option<String>,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// The run's own time at its last event.
    pub last_event_at: Option<Timestamp>,
    /// When it wakes by itself.
    pub wake_at: Option<Timestamp>,
}

/// How many steps there are, by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// They have a result.
    pub completed: u32,
    /// They have failed.
    pub failed: u32,
    /// An attempt is under way.
    pub running: u32,
    /// Another attempt will be made.
    pub retrying: u32,
    /// Nobody wants them any more.
    pub abandoned: u32,
}

/// How many runs stand in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// `ready`, `suspects`, `beyond`, `running`, `waiting`, `late` or `paused`.
    pub queue: String,
    /// How many.
    pub depth: u64,
    /// Since when the first of them does.
    pub oldest_at: Option<Timestamp>,
}

/// How many runs are quarantined for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The code of why.
    pub code: String,
    /// How many.
    pub runs: u64,
}

#[derive(sqlx::FromRow)]
struct StepRow {
    run_id: Uuid,
    call: i32,
    step: Option<String>,
    state: String,
    dependencies_satisfied: bool,
    retry_eligible: bool,
    next_retry_at: Option<DateTime<Utc>>,
    attempts: Option<i32>,
    attempt_limit: Option<i32>,
    last_failure: Option<Vec<u8>>,
    asked_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

#[derive(sqlx::FromRow)]
struct ContextRow {
    run_id: Uuid,
    workflow: String,
    component: String,
    version: i32,
    execution_status: i16,
    health: String,
    recommended_action: String,
    completion: Option<f64>,
    steps_completed: i32,
    steps_failed: i32,
    steps_running: i32,
    steps_retrying: i32,
    steps_abandoned: i32,
    open_calls: i32,
    letters: i32,
    children: i32,
    events: i32,
    strikes: i32,
    failure_code: Option<String>,
    started_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    last_event_at: Option<DateTime<Utc>>,
    wake_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Steps of these runs of a namespace; of what is no run of it, none.
    pub async fn step_readiness(&self, namespace: &Namespace, runs: &[RunId]) -> Result<Vec<StepReadiness>> {
        let mut rows: Vec<StepRow> = sqlx::query_as("SELECT * FROM step_readiness($1, $2)")
            .bind(&**namespace)
            .bind(ids(runs))
            .fetch_all(&mut *self.tenant(namespace).await?)
            .await?;
        self.open(namespace, sealed_among(rows.iter_mut().filter_map(|row| row.last_failure.as_mut()))).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Where these runs of a namespace stand; of what is no run of it, nothing.
    pub async fn run_context(&self, namespace: &Namespace, runs: &[RunId]) -> Result<Vec<RunContext>> {
        let rows: Vec<ContextRow> = sqlx::query_as("SELECT * FROM run_context($1, $2)")
            .bind(&**namespace)
            .bind(ids(runs))
            .fetch_all(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// How many runs of a namespace stand in each queue.
    pub async fn queue_depths(&self, namespace: &Namespace) -> Result<Vec<QueueDepth>> {
        let rows: Vec<QueueRow> = sqlx::query_as("SELECT queue, depth, oldest_at FROM queue_depths($1)")
            .bind(&**namespace)
            .fetch_all(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// The same of all namespaces together.
    pub async fn all_queue_depths(&self) -> Result<Vec<QueueDepth>> {
        let rows: Vec<QueueRow> =
            sqlx::query_as("SELECT queue, depth, oldest_at FROM queue_depths(NULL)").fetch_all(&self.pool).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// Runs of all namespaces that are quarantined, by the code of why.
    pub async fn all_quarantined(&self) -> Result<Vec<Quarantined>> {
        let rows: Vec<(Option<String>, i64)> = sqlx::query_as(
            "SELECT failure_code, count(*) FROM runs WHERE state = 4 GROUP BY failure_code ORDER BY failure_code",
        )
        .fetch_all(&self.pool)
        .await?;
        let quarantined = |(code, runs): (Option<String>, i64)| Quarantined {
            code: code.unwrap_or_default(),
            runs: runs.unsigned_abs(),
        };
        Ok(rows.into_iter().map(quarantined).collect())
    }

    /// Figures of a namespace, by name.
    pub async fn system_metrics(&self, namespace: &Namespace) -> Result<Vec<(String, f64)>> {
        let metrics = sqlx::query_as("SELECT metric, value FROM system_metrics($1)").bind(&**namespace);
        Ok(metrics.fetch_all(&mut *self.tenant(namespace).await?).await?)
    }
}

type QueueRow = (String, i64, Option<DateTime<Utc>>);

fn ids(runs: &[RunId]) -> Vec<Uuid> {
    runs.iter().map(|run| run.0).collect()
}

impl From<QueueRow> for QueueDepth {
    fn from((queue, depth, oldest_at): QueueRow) -> Self {
        Self { queue, depth: depth.unsigned_abs(), oldest_at: oldest_at.map(Into::into) }
    }
}

impl From<StepRow> for StepReadiness {
    fn from(row: StepRow) -> Self {
        Self {
            run_id: RunId(row.run_id),
            call: row.call.unsigned_abs(),
            step: row.step,
            state: row.state,
            dependencies_satisfied: row.dependencies_satisfied,
            retry_eligible: row.retry_eligible,
            next_retry_at: row.next_retry_at.map(Into::into),
            attempts: row.attempts.unwrap_or_default().unsigned_abs(),
            attempt_limit: row.attempt_limit.map(i32::unsigned_abs),
            last_failure: row.last_failure.and_then(|failure| serde_json::from_slice(&failure).ok()),
            asked_at: row.asked_at.map(Into::into),
            ended_at: row.ended_at.map(Into::into),
        }
    }
}

impl From<ContextRow> for RunContext {
    fn from(row: ContextRow) -> Self {
        Self {
            run_id: RunId(row.run_id),
            workflow: row.workflow,
            component: row.component,
            version: row.version.unsigned_abs(),
            execution_status: state(row.execution_status),
            health: row.health,
            recommended_action: row.recommended_action,
            completion: row.completion,
            steps: StepCounts {
                completed: row.steps_completed.unsigned_abs(),
                failed: row.steps_failed.unsigned_abs(),
                running: row.steps_running.unsigned_abs(),
                retrying: row.steps_retrying.unsigned_abs(),
                abandoned: row.steps_abandoned.unsigned_abs(),
            },
            open_calls: row.open_calls.unsigned_abs(),
            letters: row.letters.unsigned_abs(),
            children: row.children.unsigned_abs(),
            events: row.events.unsigned_abs(),
            strikes: row.strikes.unsigned_abs(),
            failure_code: row.failure_code,
            started_at: row.started_at.into(),
            closed_at: row.closed_at.map(Into::into),
            last_event_at: row.last_event_at.map(Into::into),
            wake_at: row.wake_at.map(Into::into),
        }
    }
}
