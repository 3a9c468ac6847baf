//! Sees to it that runs that have ended go to the archive when their namespace wants it, and that days of the archive are dropped when
//! they have come to their end, exported before if anybody wants that.
//!
//! It works in a session of its own, in small batches with pauses between them, one host at a time: whoever changes the archive holds
//! a lock. A host that dies in the middle has done whole batches, and whole files.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use tokio::time::Instant;

use super::Host;
use super::archive_store::{ArchiveStore, ExportError, Files};
use crate::model::{Namespace, RunId};
use crate::store::{self, Archived, Archivist, Place, RipeDay};

/// Runs that are looked at, and rows that are moved, in one transaction.
const BATCH: u32 = 500;

/// Batches of one namespace after which it is the next one's turn.
const BATCHES_MAX: u32 = 100;

/// How soon it goes on where it was when there was more to do.
const GO_ON: Duration = Duration::from_millis(200);

/// A way through all runs of a namespace, the oldest first.
#[derive(Default)]
struct Pass {
    /// All up to here have been looked at.
    after: Option<Place>,
    /// All up to here are more than the namespace wants to keep.
    beyond: Option<Place>,
    /// How long it has taken so far.
    took: Duration,
    /// When the next one may begin: those that are skipped, because they go on, are skipped again.
    not_before: Option<Instant>,
}

/// How much longer than a pass has taken the next one is waited for.
const REST_FACTOR: u32 = 10;

#[derive(Default)]
struct Actor {
    passes: BTreeMap<Namespace, Pass>,
    /// Days that nobody exports: said once.
    stuck: HashSet<NaiveDate>,
}

pub(super) async fn run(host: Arc<Host>) {
    let mut actor = Actor::default();
    let mut pause = host.config.archive.every;
    loop {
        tokio::time::sleep(pause).await;
        pause = host.config.archive.every;
        match actor.round(&host).await {
            Ok(false) => {}
            Ok(true) => pause = pause.min(GO_ON),
            Err(error) => tracing::debug!(%error, "the archive was not looked after; it is tried again"),
        }
    }
}

impl Actor {
    /// Returns whether there is more to do at once.
    async fn round(&mut self, host: &Host) -> store::Result<bool> {
        let namespaces = host.store.archiving_namespaces().await?;
        let ripe = host.store.ripe_archives().await?;
        self.passes.retain(|name, _| namespaces.iter().any(|(namespace, _)| namespace == name));
        if namespaces.is_empty() && ripe.is_empty() {
            return Ok(false);
        }
        let mut session = host.store.archivist().await?;
        let mut more = false;
        for (namespace, redate) in namespaces {
            match self.archive(&mut session, &namespace, redate).await {
                Ok(is_unfinished) => more |= is_unfinished,
                // The others are not to wait for this one.
                Err(error) => tracing::warn!(%namespace, %error, "runs were not archived; it is tried again"),
            }
        }
        for day in ripe {
            let date = day.day;
            if let Err(error) = self.end_day(host, &mut session, day).await {
                tracing::warn!(day = %date, %error, "a day of the archive was not dropped; it is tried again");
            }
        }
        session.close().await;
        Ok(more)
    }

    /// Archive what is due of a namespace. Returns whether there is more to do at once.
    async fn archive(&mut self, session: &mut Archivist, namespace: &Namespace, redate: bool) -> store::Result<bool> {
        if redate {
            while session.redate_archive(namespace, BATCH).await?.is_some_and(|moved| moved > 0) {
                tokio::time::sleep(GO_ON / 4).await;
            }
        }
        let pass = self.passes.entry(namespace.clone()).or_default();
        if pass.not_before.is_some_and(|at| Instant::now() < at) {
            return Ok(false);
        }
        if pass.after.is_none() {
            *pass = Pass { beyond: session.last_kept_run(namespace).await?, ..Pass::default() };
        }
        let mut total = 0;
        for _ in 0..BATCHES_MAX {
            let begun = Instant::now();
            match session.archive_runs(namespace, pass.after, pass.beyond, BATCH).await? {
                // Another host does the same; in a while there is not much left of it.
                Archived::Busy => return Ok(false),
                Archived::Some(count, next) => {
                    total += count;
                    pass.after = next;
                }
            }
            let took = begun.elapsed();
            pass.took += took;
            if pass.after.is_none() {
                break;
            }
            // Half of the time belongs to others.
            tokio::time::sleep(took).await;
        }
        if total > 0 {
            tracing::info!(%namespace, runs = total, "archived");
        }
        let is_over = pass.after.is_none();
        if is_over {
            pass.not_before = Some(Instant::now() + REST_FACTOR * pass.took);
        }
        Ok(!is_over)
    }

    /// Export what is to be, and drop the rest with it.
    async fn end_day(&mut self, host: &Host, session: &mut Archivist, ripe: RipeDay) -> Result<(), ExportError> {
        let RipeDay { day, exported } = ripe;
        match &host.config.archive.store {
            None if exported.is_empty() => {}
            None => {
                if self.stuck.insert(day) {
                    tracing::warn!(%day, "archived runs wait to be exported, and this host has no --archive-store");
                }
                return Ok(());
            }
            Some(_) if exported.is_empty() => {}
            Some(store) => {
                if !session.lock_exports().await? {
                    return Ok(());
                }
                export_day(store, session, day, &exported).await?;
            }
        }
        if let Some(runs) = session.drop_archive(day, &exported).await? {
            tracing::info!(%day, runs, exported = exported.len(), "a day of the archive is over");
        }
        Ok(())
    }
}

async fn export_day(
    store: &ArchiveStore,
    session: &mut Archivist,
    day: NaiveDate,
    namespaces: &[Namespace],
) -> Result<(), ExportError> {
    for namespace in namespaces {
        let keys = session.key_lines(namespace).await?;
        let mut files = store.files(namespace, day, keys);
        if let Err(error) = export_all(session, namespace, day, &mut files).await {
            files.give_up().await;
            return Err(error);
        }
        files.finish().await?;
    }
    Ok(())
}

async fn export_all(
    session: &mut Archivist,
    namespace: &Namespace,
    day: NaiveDate,
    files: &mut Files,
) -> Result<(), ExportError> {
    let mut last = None;
    loop {
        let parts = session.read_archive(day, namespace, last.as_ref()).await?;
        let Some(part) = parts.last() else { return Ok(()) };
        last = Some(part.clone());
        files.write(parts).await?;
    }
}

impl Host {
    /// The same; but of a run that is archived, that it has ended.
    pub(super) async fn unless_archived<T>(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        result: store::Result<T>,
    ) -> store::Result<T> {
        match result {
            Err(store::Error::NoSuchRun) => match self.store.archived_state(namespace, run_id).await? {
                Some(state) => Err(store::Error::RunEnded(state)),
                None => Err(store::Error::NoSuchRun),
            },
            result => result,
        }
    }
}
