//! Holding runs back and letting them go on, as the API asks for it.

use super::Host;
use crate::model::{Name, Namespace, RunId, Who};
use crate::store::{self, Hint, Pause};

/// Runs that are let go on in one transaction.
const RELEASED_MAX: u32 = 1_000;

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
        let mut all = 0;
        loop {
            let released = self.store.release_paused(namespace, RELEASED_MAX).await?;
            all += released as usize;
            self.became_ready();
            if released < RELEASED_MAX {
                return Ok(all);
            }
        }
    }

    /// What of a namespace is paused, beside single runs.
    pub async fn pauses(&self, namespace: &Namespace) -> store::Result<Vec<Pause>> {
        self.store.pauses(namespace).await
    }

    /// Runs become ready that whoever resumed them has left behind: it died over it.
    pub(super) async fn release_left_paused(&self) -> store::Result<()> {
        if self.store.release_all_paused(RELEASED_MAX).await? > 0 {
            self.became_ready();
        }
        Ok(())
    }
}
