//! Reading runs that are archived: whoever asks for a run finds it there when it is nowhere else.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::batch::int;
use super::lines::{Line, PastLine, RewindLine, RunLine, UpdateLine};
use super::rows::{AttemptRow, EventRow, LogLineRow};
use super::runs::{state, state_code};
use super::{Error, Result, RunFilter, RunListing, RunPlace, Store};
use crate::model::{Namespace, RunId, RunState, Tags};

/// What is archived of a run, but for its events.
#[derive(Default)]
pub(super) struct ArchivedRest {
    pub(super) run: Option<RunLine>,
    pub(super) attempts: Vec<AttemptRow>,
    pub(super) published: Vec<super::lines::PublishedLine>,
    pub(super) updates: Vec<UpdateLine>,
    pub(super) logs: Vec<LogLineRow>,
    pub(super) rewinds: Vec<RewindLine>,
    pub(super) past: Vec<PastLine>,
}

#[derive(sqlx::FromRow)]
struct ArchivedRow {
    run_id: Uuid,
    workflow: String,
    component: String,
    version: i32,
    state: i16,
    started_at: DateTime<Utc>,
    closed_at: DateTime<Utc>,
}

impl From<ArchivedRow> for RunListing {
    fn from(row: ArchivedRow) -> Self {
        Self {
            run_id: RunId(row.run_id),
            workflow: row.workflow,
            component: row.component,
            version: row.version.unsigned_abs(),
            state: state(row.state),
            started_at: row.started_at.into(),
            closed_at: Some(row.closed_at.into()),
            parent_run_id: None,
            failure_code: None,
            tags: Tags::default(),
            quarantined_at: None,
            quarantines: 0,
        }
    }
}

impl Store {
    /// All that is archived of a run but for its events; nothing, if it is not there.
    pub(super) async fn archived_rest(&self, namespace: &Namespace, run_id: RunId) -> Result<ArchivedRest> {
        let mut rest = ArchivedRest::default();
        for line in self.archived_lines(namespace, run_id, None).await?.0 {
            match line {
                Line::Run(run) => rest.run = Some(*run),
                Line::Attempt(attempt) => rest.attempts.push(attempt),
                Line::Published(published) => rest.published.push(published),
                Line::Update(update) => rest.updates.push(update),
                Line::Log(log) => rest.logs.push(log),
                Line::Rewind(rewind) => rest.rewinds.push(rewind),
                Line::Past(event) => rest.past.push(event),
                Line::Key(_) | Line::Event(_) => {}
            }
        }
        Ok(rest)
    }

    /// Up to `limit` archived events of a run, from number `first` on; and whether there are more.
    pub(super) async fn archived_events(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        first: u32,
        limit: u32,
    ) -> Result<(Vec<EventRow>, bool)> {
        let (lines, mut more) = self.archived_lines(namespace, run_id, Some(first)).await?;
        let event = |line| if let Line::Event(event) = line { Some(event) } else { None };
        let mut events: Vec<_> = lines.into_iter().filter_map(event).collect();
        events.retain(|event| event.seq.unsigned_abs() >= first);
        more |= events.len() > limit as usize;
        events.truncate(limit as usize);
        Ok((events, more))
    }

    /// What a run came to that is archived; `None` if there is none.
    pub async fn archived_state(&self, namespace: &Namespace, run_id: RunId) -> Result<Option<RunState>> {
        let code: Option<i16> = sqlx::query_scalar("SELECT archived_state($1, $2)")
            .bind(&**namespace)
            .bind(run_id.0)
            .fetch_one(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(code.map(|code| match code {
            1 => RunState::Completed,
            2 => RunState::Failed,
            _ => RunState::Cancelled,
        }))
    }

    /// Archived runs of a namespace, newest first, at most `limit`. They are found by workflow, component, version and state; the
    /// archive has nothing else to find them by.
    pub async fn list_archived_runs(
        &self,
        namespace: &Namespace,
        filter: &RunFilter,
        after: Option<RunPlace>,
        limit: u32,
    ) -> Result<Vec<RunListing>> {
        let rows: Vec<ArchivedRow> = sqlx::query_as("SELECT * FROM list_archived_runs($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(&**namespace)
            .bind(filter.workflow.as_deref())
            .bind(filter.component.as_deref())
            .bind(filter.version.map(int))
            .bind(filter.state.map(state_code))
            .bind(after.map(|(at, _)| DateTime::<Utc>::from(at)))
            .bind(after.map(|(_, id)| id.0))
            .bind(int(limit))
            .fetch_all(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn archived_lines(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        first: Option<u32>,
    ) -> Result<(Vec<Line>, bool)> {
        let parts: Vec<(String, Option<bool>)> = sqlx::query_as("SELECT lines, more FROM archived_lines($1, $2, $3)")
            .bind(&**namespace)
            .bind(run_id.0)
            .bind(first.map(int))
            .fetch_all(&mut *self.tenant(namespace).await?)
            .await?;
        let more = parts.iter().any(|(_, more)| *more == Some(true));
        let lines = parts.iter().flat_map(|(lines, _)| lines.lines()).map(serde_json::from_str);
        let corrupt = |error: serde_json::Error| Error::Internal(sqlx::Error::Decode(error.into()));
        Ok((lines.collect::<Result<_, _>>().map_err(corrupt)?, more))
    }
}
