//! How many runs may be under way at once.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::batch::int;
use super::schedules::date;
use super::{Result, Store};
use crate::model::{Name, Namespace, RunId, Timestamp, Who};

/// A limit on a workflow, or on a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Which; none is all of the namespace.
    pub workflow: Option<String>,
    /// How many runs may be under way.
    pub max_runs: Option<u32>,
    /// How many of those that were started with the same concurrency key.
    pub max_per_key: Option<u32>,
    /// How many are, of those that `max_runs` counts.
    pub under_way: u32,
    /// How many wait for `max_runs`.
    pub waiting: u64,
    /// How many wait for `max_per_key`.
    pub waiting_for_key: u64,
}

#[derive(sqlx::FromRow)]
struct ConcurrencyRow {
    workflow: String,
    max_runs: Option<i32>,
    max_per_key: Option<i32>,
    under_way: Option<i32>,
    waiting: i64,
    waiting_for_key: i64,
}

/// Of `concurrency.workflow`.
fn column(workflow: Option<&Name>) -> &str {
    workflow.map_or("", |workflow| workflow)
}

impl Store {
    /// Limit a workflow, or the whole namespace. [`count_under_way`](Self::count_under_way) comes next, and then
    /// [`settle_gates`](Self::settle_gates), each until it has seen all.
    pub async fn set_concurrency(
        &self,
        namespace: &Namespace,
        workflow: Option<&Name>,
        (max_runs, max_per_key): (Option<u32>, Option<u32>),
        who: &Who,
    ) -> Result<()> {
        sqlx::query("SELECT set_concurrency($1, $2, $3, $4, $5)")
            .bind(&**namespace)
            .bind(column(workflow))
            .bind(max_runs.map(int))
            .bind(max_per_key.map(int))
            .bind(who.to_string())
            .execute(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(())
    }

    /// Of the next `limit` runs that are not over, after this one, those count as well that began before there was a limit. Returns
    /// how many, and the last that was looked at, if there may be others.
    pub async fn count_under_way(
        &self,
        namespace: &Namespace,
        workflow: Option<&Name>,
        after: Option<(Timestamp, RunId)>,
        limit: u32,
    ) -> Result<(u32, Option<(Timestamp, RunId)>)> {
        let (time, run_id) = after.unwrap_or((Timestamp::default(), RunId(Uuid::nil())));
        let (counted, time, run_id): (i32, Option<DateTime<Utc>>, Option<Uuid>) =
            sqlx::query_as("SELECT counted, next_time, next_id FROM count_under_way($1, $2, $3, $4, $5)")
                .bind(&**namespace)
                .bind(column(workflow))
                .bind(date(time))
                .bind(run_id.0)
                .bind(int(limit))
                .fetch_one(&mut *self.tenant(namespace).await?)
                .await?;
        Ok((counted.unsigned_abs(), time.zip(run_id).map(|(time, run_id)| (time.into(), RunId(run_id)))))
    }

    /// Runs that wait for no other reason than what the limit was before go on: at most `limit` of them, at as many gates, from the one
    /// with this key on. Returns how many, and the key of the gate to go on with.
    pub async fn settle_gates(
        &self,
        namespace: &Namespace,
        workflow: Option<&Name>,
        from_key: &str,
        limit: u32,
    ) -> Result<(u32, Option<String>)> {
        let (gone, next): (i32, Option<String>) =
            sqlx::query_as("SELECT gone, next_key FROM settle_gates($1, $2, $3, $4)")
                .bind(&**namespace)
                .bind(column(workflow))
                .bind(from_key)
                .bind(int(limit))
                .fetch_one(&mut *self.tenant(namespace).await?)
                .await?;
        Ok((gone.unsigned_abs(), next))
    }

    /// Limits of all namespaces that were changed by somebody who died over it, or is just at it.
    pub async fn unsettled_concurrency(&self) -> Result<Vec<(Namespace, Option<Name>)>> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT namespace, workflow FROM concurrency WHERE NOT is_settled")
                .fetch_all(&self.pool)
                .await?;
        let names = |(namespace, workflow): (String, String)| {
            let workflow = if workflow.is_empty() { None } else { Some(Name::new(&workflow).ok()?) };
            Some((Namespace::new(&namespace).ok()?, workflow))
        };
        Ok(rows.into_iter().filter_map(names).collect())
    }

    /// The limits of a namespace: its own first, then by workflow.
    pub async fn list_concurrency(&self, namespace: &Namespace) -> Result<Vec<Concurrency>> {
        let rows: Vec<ConcurrencyRow> = sqlx::query_as("SELECT * FROM list_concurrency($1)")
            .bind(&**namespace)
            .fetch_all(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl From<ConcurrencyRow> for Concurrency {
    fn from(row: ConcurrencyRow) -> Self {
        Self {
            workflow: Some(row.workflow).filter(|workflow| !workflow.is_empty()),
            max_runs: row.max_runs.map(i32::unsigned_abs),
            max_per_key: row.max_per_key.map(i32::unsigned_abs),
            under_way: row.under_way.map_or(0, i32::unsigned_abs),
            waiting: row.waiting.unsigned_abs(),
            waiting_for_key: row.waiting_for_key.unsigned_abs(),
        }
    }
}
