//! Those in this process who wait for a run to change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::RunSummary;
use crate::model::RunId;

/// Told of every commit of this host about a run. A hint: commits of other hosts are not seen here.
#[derive(Clone, Debug, Default)]
pub struct Watchers(Arc<Mutex<HashMap<RunId, Watched>>>);

#[derive(Debug, Default)]
struct Watched {
    watchers: usize,
    news: Arc<News>,
}

/// What those who watch a run are told.
#[derive(Debug, Default)]
struct News {
    changed: Notify,
    ended: Notify,
    has_ended: AtomicBool,
    /// How the run ended, where that is known without asking the database.
    summary: OnceLock<RunSummary>,
}

/// Watches one run until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    run_id: RunId,
    news: Arc<News>,
    all: Watchers,
}

impl Watchers {
    /// Watch a run.
    pub fn watch(&self, run_id: RunId) -> Watcher {
        let mut all = self.lock();
        let watched = all.entry(run_id).or_default();
        watched.watchers += 1;
        Watcher { run_id, news: watched.news.clone(), all: self.clone() }
    }

    /// The runs that are watched and of which it is not known how they ended.
    pub fn open(&self) -> Vec<RunId> {
        let all = self.lock();
        all.iter().filter(|(_, watched)| watched.news.summary.get().is_none()).map(|(run_id, _)| *run_id).collect()
    }

    /// Something was committed about a run.
    pub fn changed(&self, run_id: RunId) {
        if let Some(watched) = self.lock().get(&run_id) {
            watched.news.changed.notify_waiters();
        }
    }

    /// The run ended, or cannot go on. `summary`: how, if that is known.
    pub fn ended(&self, run_id: RunId, summary: Option<RunSummary>) {
        if let Some(watched) = self.lock().get(&run_id) {
            if let Some(summary) = summary {
                // A run ends once.
                let _ = watched.news.summary.set(summary);
            }
            watched.news.has_ended.store(true, Ordering::Release);
            watched.news.changed.notify_waiters();
            watched.news.ended.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RunId, Watched>> {
        // Nothing under the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// The run that is watched.
    pub fn run_id(&self) -> RunId {
        self.run_id
    }

    /// Ends at the next change. Make it before looking at the run, so that no change falls between.
    pub fn changed(&self) -> Notified<'_> {
        self.news.changed.notified()
    }

    /// Ends when the run does. Make it before looking, too.
    pub fn ended(&self) -> Notified<'_> {
        self.news.ended.notified()
    }

    /// Whether it was heard of that the run has ended.
    pub fn has_ended(&self) -> bool {
        self.news.has_ended.load(Ordering::Acquire)
    }

    /// How the run ended, if that is known without asking the database.
    pub fn summary(&self) -> Option<RunSummary> {
        self.news.summary.get().cloned()
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
