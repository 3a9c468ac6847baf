//! The runs that this host is at, and how to reach them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::steps::AttemptEnd;
use crate::model::{CallId, Outcome, Payload, RunId, Timestamp};

/// What comes to an activation while it waits.
#[derive(Debug)]
pub(super) enum Mail {
    /// Something may be in the run's inbox.
    Letters,
    /// An attempt of a step is over.
    Attempt(AttemptEnd),
    /// An attempt of a step has been running for long, or has given a sign of life.
    StillRunning {
        /// Of which call.
        call: CallId,
        /// Its number.
        attempt: u32,
        /// Since when.
        started_at: Timestamp,
        /// What it reported last.
        heartbeat: Option<Payload>,
    },
    /// What became of a signal that the run has sent.
    Sent {
        /// By which call.
        call: CallId,
        /// What.
        outcome: Outcome,
    },
}

/// The runs that have an activation, or are about to have one. Shared by its clones.
#[derive(Clone, Debug, Default)]
pub struct Active {
    runs: Arc<Mutex<Runs>>,
    left: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Runs {
    present: HashMap<RunId, mpsc::UnboundedSender<Mail>>,
    /// Those that wait until an older activation, which has just parked the run, has left its place; and whether a letter has
    /// come for them meanwhile.
    coming: HashMap<RunId, bool>,
}

/// A run's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    run_id: RunId,
    active: Active,
    pub(super) mail: mpsc::UnboundedReceiver<Mail>,
    pub(super) address: mpsc::UnboundedSender<Mail>,
}

impl Active {
    /// Take the run's place, if it is free.
    pub(super) fn try_enter(&self, run_id: RunId) -> Option<Place> {
        let mut runs = self.lock();
        if runs.present.contains_key(&run_id) {
            return None;
        }
        let is_told = runs.coming.remove(&run_id).unwrap_or_default();
        // Unbounded, but what comes is bounded: one message an attempt, and hints that are taken together.
        let (address, mail) = mpsc::unbounded_channel();
        if is_told {
            // The other end is right here.
            let _ = address.send(Mail::Letters);
        }
        runs.present.insert(run_id, address.clone());
        Some(Place { run_id, active: self.clone(), mail, address })
    }

    /// From now on the run is known, and [`enter`](Self::enter) follows.
    pub(super) fn announce(&self, run_id: RunId) {
        self.lock().coming.entry(run_id).or_default();
    }

    /// Take the place of a run that was announced. An activation that is leaving it is waited for.
    pub(super) async fn enter(&self, run_id: RunId) -> Place {
        loop {
            let left = self.left.notified();
            if let Some(place) = self.try_enter(run_id) {
                return place;
            }
            left.await;
        }
    }

    /// All runs that this host knows to be its own.
    pub(super) fn known(&self) -> Vec<RunId> {
        let runs = self.lock();
        runs.present.keys().chain(runs.coming.keys()).copied().collect()
    }

    /// Something may be in the run's inbox. Returns whether this host is at the run.
    pub fn tell(&self, run_id: RunId) -> bool {
        let mut runs = self.lock();
        if let Some(is_told) = runs.coming.get_mut(&run_id) {
            *is_told = true;
            return true;
        }
        runs.present.get(&run_id).is_some_and(|address| address.send(Mail::Letters).is_ok())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let runs = self.lock();
        runs.present.len() + runs.coming.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wait until there are fewer than `limit`.
    pub async fn fewer_than(&self, limit: usize) {
        loop {
            let left = self.left.notified();
            if self.len() < limit {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        // Nothing under the lock can panic half way.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.active.lock().present.remove(&self.run_id);
        self.active.left.notify_waiters();
    }
}
