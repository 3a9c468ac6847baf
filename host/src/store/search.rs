//! Finding runs.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{FromRow, Postgres};
use uuid::Uuid;

use super::batch::int;
use super::runs::{state, state_code};
use super::{Result, Store};
use crate::model::{Name, Namespace, RunId, RunState, Tag, Tags, Timestamp};

/// A run in a list.
#[derive(Clone, Debug)]
pub struct RunListing {
    /// Its id.
    pub run_id: RunId,
    /// Its workflow.
    pub workflow: String,
    /// The component that has the workflow.
    pub component: String,
    /// The version that it is pinned to.
    pub version: u32,
    /// Where it stands.
    pub state: RunState,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// When it ended.
    pub closed_at: Option<Timestamp>,
    /// The run that started it.
    pub parent_run_id: Option<RunId>,
    /// The code of its failure, or of why it is quarantined.
    pub failure_code: Option<String>,
    /// What it is found by.
    pub tags: Tags,
    /// When it was last quarantined.
    pub quarantined_at: Option<Timestamp>,
    /// How often it was.
    pub quarantines: u32,
}

/// Which runs: those that have all that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this workflow.
    pub workflow: Option<Name>,
    /// Of this component.
    pub component: Option<Name>,
    /// Pinned to this version of its component.
    pub version: Option<u32>,
    /// In this state.
    pub state: Option<RunState>,
    /// Started by this run.
    pub parent: Option<RunId>,
    /// Failed, cancelled or quarantined with this code.
    pub failure_code: Option<Name>,
    /// With all of these tags.
    pub tags: Vec<Tag>,
    /// Accepted then or later.
    pub started_from: Option<Timestamp>,
    /// Accepted before.
    pub started_to: Option<Timestamp>,
    /// Ended then or later.
    pub closed_from: Option<Timestamp>,
    /// Ended before.
    pub closed_to: Option<Timestamp>,
}

/// A place in a list of runs: after the run with this id, which was accepted at this time.
pub type RunPlace = (Timestamp, RunId);

/// A part of a list.
#[derive(Clone, Debug, Default)]
pub struct RunsFound {
    /// Newest first.
    pub runs: Vec<RunListing>,
    /// How far the search got, if it had to stop before it had as many as were wanted: others may come after this.
    pub stopped_at: Option<RunPlace>,
}

/// How many runs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunCount {
    /// So many.
    pub runs: u32,
    /// Or more.
    pub is_exact: bool,
}

#[derive(FromRow)]
struct ListingRow {
    run_id: Uuid,
    workflow: Option<String>,
    component: Option<String>,
    version: Option<i32>,
    state: Option<i16>,
    started_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    parent_run_id: Option<Uuid>,
    failure_code: Option<String>,
    tags: Option<Vec<String>>,
    is_match: bool,
    quarantined_at: Option<DateTime<Utc>>,
    quarantines: Option<i16>,
}

/// The type of the database with what is asked for; parameters 2 to 12.
macro_rules! filter {
    () => {
        "ROW($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)::run_filter"
    };
}

impl RunFilter {
    fn bind<'q, O>(&self, query: QueryAs<'q, Postgres, O, PgArguments>) -> QueryAs<'q, Postgres, O, PgArguments> {
        let name = |name: &Option<Name>| name.as_ref().map(Name::to_string);
        let time = |time: Option<Timestamp>| time.map(DateTime::<Utc>::from);
        let tags: Vec<_> = self.tags.iter().map(Tag::to_string).collect();
        query
            .bind(self.state.map(state_code))
            .bind(name(&self.workflow))
            .bind(name(&self.component))
            .bind(self.version.map(int))
            .bind(self.parent.map(|run| run.0))
            .bind(name(&self.failure_code))
            .bind(Some(tags).filter(|tags| !tags.is_empty()))
            .bind(time(self.started_from))
            .bind(time(self.started_to))
            .bind(time(self.closed_from))
            .bind(time(self.closed_to))
    }
}

impl Store {
    /// Runs of a namespace, newest first, at most `limit`.
    pub async fn list_runs(
        &self,
        namespace: &Namespace,
        filter: &RunFilter,
        after: Option<RunPlace>,
        limit: u32,
    ) -> Result<RunsFound> {
        let query = sqlx::query_as(concat!("SELECT * FROM list_runs($1, ", filter!(), ", $13, $14, $15)"));
        let rows: Vec<ListingRow> = filter
            .bind(query.bind(&**namespace))
            .bind(after.map(|(at, _)| DateTime::<Utc>::from(at)))
            .bind(after.map(|(_, id)| id.0))
            .bind(int(limit))
            .fetch_all(&mut *self.tenant(namespace).await?)
            .await?;
        let mut found = RunsFound::default();
        for row in rows {
            if row.is_match {
                found.runs.push(row.into());
            } else {
                found.stopped_at = Some((row.started_at.into(), RunId(row.run_id)));
            }
        }
        Ok(found)
    }

    /// How many runs of a namespace there are. Beyond `most`, or where it would take a long search, no more is said than that.
    pub async fn count_runs(&self, namespace: &Namespace, filter: &RunFilter, most: u32) -> Result<RunCount> {
        let query = sqlx::query_as(concat!("SELECT * FROM count_runs($1, ", filter!(), ", $13)"));
        let (runs, is_exact): (i32, bool) = filter
            .bind(query.bind(&**namespace))
            .bind(int(most))
            .fetch_one(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(RunCount { runs: runs.unsigned_abs(), is_exact })
    }
}

impl From<ListingRow> for RunListing {
    fn from(row: ListingRow) -> Self {
        Self {
            run_id: RunId(row.run_id),
            workflow: row.workflow.unwrap_or_default(),
            component: row.component.unwrap_or_default(),
            version: row.version.unwrap_or_default().unsigned_abs(),
            state: state(row.state.unwrap_or_default()),
            started_at: row.started_at.into(),
            closed_at: row.closed_at.map(Into::into),
            parent_run_id: row.parent_run_id.map(RunId),
            failure_code: row.failure_code,
            tags: Tags::stored(row.tags.unwrap_or_default()),
            quarantined_at: row.quarantined_at.map(Into::into),
            quarantines: row.quarantines.unwrap_or_default().unsigned_abs().into(),
        }
    }
}
