//! Those in this process who wait for a run to change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::model::RunId;

/// Told of every commit of this host about a run. A hint: commits of other hosts are not seen here.
#[derive(Clone, Debug, Default)]
pub struct Watchers(Arc<Mutex<HashMap<RunId, Watched>>>);

#[derive(Debug, Default)]
struct Watched {
    watchers: usize,
    changed: Arc<Notify>,
}

/// Watches one run until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    run_id: RunId,
    changed: Arc<Notify>,
    all: Watchers,
}

impl Watchers {
    /// Watch a run.
    pub fn watch(&self, run_id: RunId) -> Watcher {
        let mut all = self.lock();
        let watched = all.entry(run_id).or_default();
        watched.watchers += 1;
        Watcher { run_id, changed: watched.changed.clone(), all: self.clone() }
    }

    /// Something was committed about a run.
    pub fn changed(&self, run_id: RunId) {
        if let Some(watched) = self.lock().get(&run_id) {
            watched.changed.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Watched>> {
        // Nothing under the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Ends at the next change. Make it before looking at the run, so that no change falls between.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        let watched = all.get_mut(&self.run_id);
        if let Some(watched) = watched {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                all.remove(&self.run_id);
            }
        }
    }
}
