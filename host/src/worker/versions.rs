//! Versions, and moving runs between them, as the API asks for it.

use std::time::{Duration, Instant};

use super::Host;
use crate::model::{Name, Namespace, RunId, Who};
use crate::run::{Trial, TrialBench, TrialError};
use crate::store::{self, VersionListing};

/// How long a run that a host is at is waited for: most are let go of soon.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked at meanwhile.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl Host {
    /// The versions of a component, the newest first; none if there is no such component.
    pub async fn list_versions(&self, namespace: &Namespace, component: &Name) -> store::Result<Vec<VersionListing>> {
        self.store.list_versions(namespace, component).await
    }

    /// New runs take this version from now on; with `pin`, whatever is deployed later.
    pub async fn use_version(
        &self,
        namespace: &Namespace,
        (component, version): (&Name, u32),
        pin: bool,
        who: &Who,
    ) -> Result<(), TrialError> {
        // Its manifest, and that it can be run here.
        let program = self.programs.get(namespace, component, version).await?;
        let workflows: Vec<_> = program.manifest.workflows.iter().map(|workflow| workflow.name.to_string()).collect();
        self.store.use_version(namespace, (component, version), &workflows, pin, who).await?;
        Ok(())
    }

    /// Move a run to another version of its component, if it would survive; with `dry_run`, only say whether it would. One that goes
    /// on meanwhile is tried again, but not for ever.
    pub async fn migrate_run(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        version: u32,
        dry_run: bool,
        who: &Who,
    ) -> Result<Trial, TrialError> {
        let tenant = self.tenant(namespace).await?;
        let (store, programs, threads) = (&self.store, &*self.programs, &self.threads);
        let bench = TrialBench { store, programs, threads, tenant: &tenant };
        let begun = Instant::now();
        loop {
            let trial = bench.try_version(namespace, run_id, version).await?.ok_or(store::Error::NoSuchRun)?;
            if dry_run || trial.misfit.is_some() || trial.from.version == version {
                return Ok(trial);
            }
            match self.store.migrate_run(namespace, run_id, trial.from, version, who).await {
                Ok(()) => return Ok(trial),
                Err(store::Error::WrongState(_)) if begun.elapsed() < PATIENCE && !self.shutdown.is_cancelled() => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}
