//! The runs that this host is at, and how to reach them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::steps::{AttemptEnd, StillRunning};
use crate::fair::{Held, Places};
use crate::model::{CallId, Namespace, Outcome, RunId};

/// What comes to an activation while it waits. Small: an empty mailbox has room for 32.
#[derive(Debug)]
pub(super) enum Mail {
    /// Something may be in the run's inbox.
    Letters,
    /// An attempt of a step is over.
    Attempt(Box<AttemptEnd>),
    /// An attempt of a step has been running for long, or has given a sign of life.
    StillRunning(Box<StillRunning>),
    /// What became of a signal that the run has sent.
    Sent {
        /// By which call.
        call: CallId,
        /// What.
        outcome: Box<Outcome>,
    },
}

/// The runs that have an activation, or are about to have one. Shared by its clones.
#[derive(Clone, Debug)]
pub struct Active {
    runs: Arc<Mutex<Runs>>,
    places: Arc<Places>,
    left: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Runs {
    present: HashMap<RunId, mpsc::UnboundedSender<Mail>>,
    /// Those that wait until an older activation, which has just parked the run, has left its place.
    coming: HashMap<RunId, Coming>,
}

/// A run that is about to have an activation.
#[derive(Debug)]
struct Coming {
    /// Whether a letter has come for it meanwhile.
    is_told: bool,
    held: Held,
}

/// How many more runs a host may be at.
#[derive(Clone, Debug)]
pub struct Room {
    /// Of all namespaces together.
    pub all: usize,
    /// Of each namespace that it is at no run of.
    pub each: usize,
    /// Of each of the others.
    pub known: Vec<(Namespace, usize)>,
}

/// A run's place among them, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    run_id: RunId,
    active: Active,
    /// Until it is dropped.
    held: Option<Held>,
    pub(super) mail: mpsc::UnboundedReceiver<Mail>,
    pub(super) address: mpsc::UnboundedSender<Mail>,
}

impl Active {
    /// At none yet, and at so many at most.
    pub fn new(max: usize) -> Self {
        Self { runs: Arc::default(), places: Places::new(max), left: Arc::default() }
    }

    /// Take a new run's place, if it is free, and if there is room for one more of its namespace.
    pub(super) fn try_enter(&self, run_id: RunId, namespace: &Namespace) -> Option<Place> {
        let held = self.places.try_take(namespace)?;
        let mut runs = self.lock();
        let is_known = runs.present.contains_key(&run_id) || runs.coming.contains_key(&run_id);
        (!is_known).then(|| self.put(&mut runs, run_id, held, false))
    }

    /// Take the place of a run that was announced, if an older activation has left it.
    fn follow(&self, run_id: RunId) -> Option<Place> {
        let mut runs = self.lock();
        if runs.present.contains_key(&run_id) {
            return None;
        }
        let Coming { is_told, held } = runs.coming.remove(&run_id)?;
        Some(self.put(&mut runs, run_id, held, is_told))
    }

    fn put(&self, runs: &mut Runs, run_id: RunId, held: Held, is_told: bool) -> Place {
        // Unbounded, but what comes is bounded: one message an attempt, and hints that are taken together.
        let (address, mail) = mpsc::unbounded_channel();
        if is_told {
            // The other end is right here.
            let _ = address.send(Mail::Letters);
        }
        runs.present.insert(run_id, address.clone());
        Place { run_id, active: self.clone(), held: Some(held), mail, address }
    }

    /// From now on the run, which this host owns, is known, and [`enter`](Self::enter) follows.
    pub(super) fn announce(&self, run_id: RunId, namespace: &Namespace) {
        let held = self.places.take(namespace);
        self.lock().coming.entry(run_id).or_insert(Coming { is_told: false, held });
    }

    /// Take the place of a run that was announced. An activation that is leaving it is waited for.
    pub(super) async fn enter(&self, run_id: RunId) -> Place {
        loop {
            let left = self.left.notified();
            if let Some(place) = self.follow(run_id) {
                return place;
            }
            left.await;
        }
    }

    /// Whether this host is at a run, or about to be.
    pub(super) fn is_at(&self, run_id: RunId) -> bool {
        let runs = self.lock();
        runs.present.contains_key(&run_id) || runs.coming.contains_key(&run_id)
    }

    /// All runs that this host knows to be its own.
    pub(super) fn known(&self) -> Vec<RunId> {
        let runs = self.lock();
        runs.present.keys().chain(runs.coming.keys()).copied().collect()
    }

    /// Something may be in the run's inbox. Returns whether this host is at the run.
    pub fn tell(&self, run_id: RunId) -> bool {
        let mut runs = self.lock();
        if let Some(coming) = runs.coming.get_mut(&run_id) {
            coming.is_told = true;
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

    /// How many more it may be at: of all namespaces together, of one that it is at no run of, and of each of the others.
    pub fn room(&self) -> Room {
        let (each, known) = self.places.room();
        Room { all: self.places.free(), each, known }
    }

    /// Wait until an activation that is there when this is called has left its place.
    pub fn left(&self) -> impl Future<Output = ()> {
        self.left.notified()
    }

    /// Wait until there is room for one more.
    pub async fn has_room(&self) {
        loop {
            let left = self.left.notified();
            if self.places.free() > 0 {
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
        // First: whoever is woken finds it free.
        drop(self.held.take());
        self.active.left.notify_waiters();
    }
}
