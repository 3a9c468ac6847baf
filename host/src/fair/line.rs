//! A line for what is done a few at a time: whoever finds no place waits, and lines have an end.
//!
//! There are so many places, and so many of them for one namespace: whoever sends much waits for itself, not others for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::model::Namespace;

/// Places, and who waits for them.
pub struct Line {
    rules: LineRules,
    all: Arc<Semaphore>,
    /// Only of those who are there.
    namespaces: Mutex<HashMap<Namespace, Own>>,
}

/// How many, and how long.
#[derive(Clone, Copy)]
pub struct LineRules {
    /// Places.
    pub all: usize,
    /// Of these, for one namespace.
    pub each: usize,
    /// Of one namespace, how many may wait.
    pub waiting: usize,
    /// How long one waits.
    pub patience: Duration,
}

struct Own {
    places: Arc<Semaphore>,
    present: usize,
}

/// A place, until it is dropped.
pub struct LinePlace {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
    _present: Present,
}

/// In line, or at a place.
struct Present {
    line: Arc<Line>,
    namespace: Namespace,
}

/// The line is too long, or does not move.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the host is busy with others of the kind, of this namespace or of all; try again in a while")]
pub struct Busy;

impl Line {
    /// Nobody in it.
    pub fn new(rules: LineRules) -> Arc<Self> {
        Arc::new(Self { rules, all: Arc::new(Semaphore::new(rules.all)), namespaces: Mutex::default() })
    }

    /// Wait for a place.
    pub async fn enter(self: &Arc<Self>, namespace: &Namespace) -> Result<LinePlace, Busy> {
        let (present, own) = self.line_up(namespace)?;
        let places = async {
            // First the namespace's own, so that nobody stands in the common line twice.
            let own = own.acquire_owned().await.map_err(|_closed| Busy)?;
            let all = self.all.clone().acquire_owned().await.map_err(|_closed| Busy)?;
            Ok::<_, Busy>((own, all))
        };
        let (own, all) = timeout(self.rules.patience, places).await.map_err(|_late| Busy)??;
        Ok(LinePlace { _all: all, _own: own, _present: present })
    }

    fn line_up(self: &Arc<Self>, namespace: &Namespace) -> Result<(Present, Arc<Semaphore>), Busy> {
        let mut namespaces = self.namespaces();
        let new = || Own { places: Arc::new(Semaphore::new(self.rules.each)), present: 0 };
        let line = namespaces.entry(namespace.clone()).or_insert_with(new);
        if line.present >= self.rules.each + self.rules.waiting {
            return Err(Busy);
        }
        line.present += 1;
        Ok((Present { line: self.clone(), namespace: namespace.clone() }, line.places.clone()))
    }

    fn namespaces(&self) -> MutexGuard<'_, HashMap<Namespace, Own>> {
        // Nothing under the lock can panic half way.
        self.namespaces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        if let Entry::Occupied(mut own) = self.line.namespaces().entry(self.namespace.clone()) {
            own.get_mut().present -= 1;
            if own.get().present == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn places(patience: Duration) -> (Arc<Line>, Namespace, Namespace) {
        let rules = LineRules { all: 2, each: 1, waiting: 1, patience };
        (Line::new(rules), Namespace::new("greedy").unwrap(), Namespace::new("other").unwrap())
    }

    #[tokio::test]
    async fn one_namespace_waits_for_itself_and_others_go_on() {
        let (places, greedy, other) = places(Duration::from_secs(60));
        let first = places.enter(&greedy).await.unwrap();
        let mut second = Box::pin(places.enter(&greedy));
        assert!((&mut second).now_or_never().is_none(), "it waits");
        assert!(places.enter(&greedy).await.is_err(), "the line has an end");
        let place = places.enter(&other).await.unwrap();
        drop(first);
        let second = second.await.unwrap();
        drop((second, place));
        assert!(places.namespaces().is_empty(), "nothing stays of those who have gone");
    }

    #[tokio::test]
    async fn who_waits_too_long_or_goes_away_leaves_no_gap() {
        let (places, greedy, other) = places(Duration::ZERO);
        let _one = places.enter(&greedy).await.unwrap();
        let _two = places.enter(&other).await.unwrap();
        let third = Namespace::new("third").unwrap();
        assert!(places.enter(&third).await.is_err(), "all places are taken");
        assert!(places.enter(&greedy).await.is_err());
        assert_eq!(places.namespaces().len(), 2);
    }
}
