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

    /// Runs of a namespace that are paused no longer become ready, at most `limit`. Returns how many.
    pub async fn release_paused(&self, namespace: &Namespace, limit: u32) -> Result<u32> {
        let released: i32 = sqlx::query_scalar("SELECT release_paused($1, $2)")
            .bind(&**namespace)
            .bind(int(limit))
            .fetch_one(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(released.unsigned_abs())
    }

    /// The same, for all namespaces.
    pub async fn release_all_paused(&self, limit: u32) -> Result<u32> {
        let asked = sqlx::query_scalar("SELECT release_paused(NULL, $1)").bind(int(limit));
        let released: i32 = asked.fetch_one(&self.pool).await?;
        Ok(released.unsigned_abs())
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
