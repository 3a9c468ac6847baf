//! Holding runs back and letting them go on, as the API asks for it.

use super::Host;
use crate::model::{Name, Namespace, RunId, Who};
use crate::store::{self, Hint, Pause};

/// Runs that are looked at in one transaction, and let go on if they are paused no longer.
const LOOKED_AT_MAX: u32 = 1_000;

impl Host {
    /// Pause a run. A host that is at it lets what is under way end, and then lets go of it.
    pub async fn pause_run(&self, namespace: &Namespace, run_id: RunId, who: &Who) -> store::Result<()> {
        let owner = self.store.pause_run(namespace, run_id, who).await?;
        if owner.is_some() {
            self.tell_owner(run_id, owner);
        }
        Ok(())
    }

    /// Let a run go on that was paused.
    pub async fn resume_run(&self, namespace: &Namespace, run_id: RunId, who: &Who) -> store::Result<()> {
        self.store.resume_run(namespace, run_id, who).await?;
        self.became_ready();
        Ok(())
    }

    /// Pause a workflow, or the whole namespace. Returns how many of its runs hosts were at.
    pub async fn pause_workflow(
        &self,
        namespace: &Namespace,
        workflow: Option<&Name>,
        who: &Who,
    ) -> store::Result<usize> {
        let told = self.store.pause_workflow(namespace, workflow, who).await?;
        for run_id in &told {
            self.tell(*run_id);
            self.notifier.send(Hint::Mail(*run_id));
        }
        Ok(told.len())
    }

    /// Let a workflow go on, or the whole namespace. Returns how many runs have become ready.
    pub async fn resume_workflow(
        &self,
        namespace: &Namespace,
        workflow: Option<&Name>,
        who: &Who,
    ) -> store::Result<usize> {
        self.store.resume_workflow(namespace, workflow, who).await?;
        self.release(namespace).await
    }

    /// Whatever is held back in a namespace and is paused no longer becomes ready. Returns how many runs.
    async fn release(&self, namespace: &Namespace) -> store::Result<usize> {
        let (mut all, mut after) = (0, None);
        loop {
            let (released, next) = self.store.release_paused(namespace, after, LOOKED_AT_MAX).await?;
            all += released as usize;
            self.became_ready();
            if next.is_none() {
                return Ok(all);
            }
            after = next;
        }
    }

    /// What of a namespace is paused, beside single runs.
    pub async fn pauses(&self, namespace: &Namespace) -> store::Result<Vec<Pause>> {
        self.store.pauses(namespace).await
    }

    /// Runs become ready that whoever resumed them has left behind: it died over it.
    pub(super) async fn release_left_paused(&self) -> store::Result<()> {
        for (namespace, resumed_at) in self.store.resumes().await? {
            self.release(&namespace).await?;
            self.store.end_resume(&namespace, resumed_at).await?;
        }
        Ok(())
    }
}
