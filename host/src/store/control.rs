//! Holding runs back, and letting them go on.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::batch::int;
use super::{Result, Store};
use crate::model::{HostId, Name, Namespace, RunId, Timestamp, Who};

/// A workflow of which no run goes on.
#[derive(Clone, Debug)]
pub struct Pause {
    /// Which; none is all of the namespace.
    pub workflow: Option<String>,
    /// Since when.
    pub paused_at: Timestamp,
}

/// A place among the runs that are held back: by shard and id.
pub type Held = (i16, Uuid);

/// Of `pauses.workflow`.
fn column(workflow: Option<&Name>) -> &str {
    workflow.map_or("", |workflow| workflow)
}

impl Store {
    /// Pause a run. Returns the host that is at it.
    pub async fn pause_run(&self, namespace: &Namespace, run_id: RunId, who: &Who) -> Result<Option<HostId>> {
        let owner: Option<Uuid> = sqlx::query_scalar("SELECT pause_run($1, $2, $3)")
            .bind(&**namespace)
            .bind(run_id.0)
            .bind(who.to_string())
            .fetch_one(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(owner.map(HostId))
    }

    /// Let a run go on that was paused.
    pub async fn resume_run(&self, namespace: &Namespace, run_id: RunId, who: &Who) -> Result<()> {
        let resume = sqlx::query("SELECT resume_run($1, $2, $3)").bind(&**namespace).bind(run_id.0);
        resume.bind(who.to_string()).execute(&mut *self.tenant(namespace).await?).await?;
        Ok(())
    }

    /// Go on with a run that was quarantined.
    pub async fn retry_run(&self, namespace: &Namespace, run_id: RunId, who: &Who) -> Result<()> {
        let retry = sqlx::query("SELECT retry_run($1, $2, $3)").bind(&**namespace).bind(run_id.0);
        retry.bind(who.to_string()).execute(&mut *self.tenant(namespace).await?).await?;
        Ok(())
    }

    /// Pause a workflow, or the whole namespace. Returns the runs of it that hosts are at: they have been told.
    pub async fn pause_workflow(
        &self,
        namespace: &Namespace,
        workflow: Option<&Name>,
        who: &Who,
    ) -> Result<Vec<RunId>> {
        let mut session = self.tenant(namespace).await?;
        let asked = sqlx::query("SELECT pause_workflow($1, $2, $3)").bind(&**namespace).bind(column(workflow));
        asked.bind(who.to_string()).execute(&mut *session).await?;
        // After that was committed: see there.
        let told: Vec<Uuid> = sqlx::query_scalar("SELECT tell_paused($1, $2)")
            .bind(&**namespace)
            .bind(column(workflow))
            .fetch_all(&mut *session)
            .await?;
        Ok(told.into_iter().map(RunId).collect())
    }

    /// Let a workflow go on, or the whole namespace. [`release_paused`](Self::release_paused) comes next.
    pub async fn resume_workflow(&self, namespace: &Namespace, workflow: Option<&Name>, who: &Who) -> Result<()> {
        sqlx::query("SELECT resume_workflow($1, $2, $3)")
            .bind(&**namespace)
            .bind(column(workflow))
            .bind(who.to_string())
            .execute(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(())
    }

    /// Of the next `limit` runs of a namespace that are held back, after the one with this shard and id, those become ready that
    /// are paused no longer. Returns how many, and the last one that was looked at; none, if there are no others.
    pub async fn release_paused(
        &self,
        namespace: &Namespace,
        after: Option<Held>,
        limit: u32,
    ) -> Result<(u32, Option<Held>)> {
        let (shard, run) = after.unwrap_or((-1, Uuid::nil()));
        let (released, shard, run): (i32, Option<i16>, Option<Uuid>) =
            sqlx::query_as("SELECT * FROM release_paused($1, $2, $3, $4)")
                .bind(&**namespace)
                .bind(shard)
                .bind(run)
                .bind(int(limit))
                .fetch_one(&mut *self.tenant(namespace).await?)
                .await?;
        Ok((released.unsigned_abs(), shard.zip(run)))
    }

    /// Namespaces in which something was resumed, each with when it was: until it is known that all of their runs go on.
    pub async fn resumes(&self) -> Result<Vec<(Namespace, Timestamp)>> {
        let rows: Vec<(String, DateTime<Utc>)> =
            sqlx::query_as("SELECT namespace, resumed_at FROM resumes").fetch_all(&self.pool).await?;
        let resume = |(namespace, at): (String, DateTime<Utc>)| Some((Namespace::new(&namespace).ok()?, at.into()));
        Ok(rows.into_iter().filter_map(resume).collect())
    }

    /// All runs of a namespace go on that were held back when it was resumed at this time.
    pub async fn end_resume(&self, namespace: &Namespace, resumed_at: Timestamp) -> Result<()> {
        let end = sqlx::query("SELECT end_resume($1, $2)").bind(&**namespace);
        end.bind(DateTime::<Utc>::from(resumed_at)).execute(&self.pool).await?;
        Ok(())
    }

    /// The workflows of a namespace that are paused, by name; the namespace itself first.
    pub async fn pauses(&self, namespace: &Namespace) -> Result<Vec<Pause>> {
        let rows: Vec<(String, DateTime<Utc>)> =
            sqlx::query_as("SELECT workflow, paused_at FROM pauses WHERE namespace = $1 ORDER BY workflow")
                .bind(&**namespace)
                .fetch_all(&mut *self.tenant(namespace).await?)
                .await?;
        let pause = |(workflow, paused_at): (String, DateTime<Utc>)| Pause {
            workflow: Some(workflow).filter(|workflow| !workflow.is_empty()),
            paused_at: paused_at.into(),
        };
        Ok(rows.into_iter().map(pause).collect())
    }
}
