//! What is known to wait for a host, so that a run that has just been accepted does not go before what is more urgent. Pure.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Namespace, Priority};

/// The first priority of each namespace of which something waits, as far as this host knows.
#[derive(Debug, Default)]
pub(super) struct Backlog(Mutex<HashMap<Namespace, Priority>>);

impl Backlog {
    /// A run was left for any host: there was no room here.
    pub(super) fn left(&self, namespace: &Namespace, priority: Priority) {
        let mut first = self.lock();
        let first = first.entry(namespace.clone()).or_insert(priority);
        *first = (*first).min(priority);
    }

    /// These were claimed, and there may be more of any namespace that there were any of: none more urgent, as claims go by priority.
    /// With `is_all`, there are none left.
    pub(super) fn claimed<'a>(&self, runs: impl Iterator<Item = (&'a Namespace, Priority)>, is_all: bool) {
        let mut last: HashMap<&Namespace, Priority> = HashMap::new();
        for (namespace, priority) in runs {
            let last = last.entry(namespace).or_insert(priority);
            *last = (*last).max(priority);
        }
        let mut first = self.lock();
        if is_all {
            first.clear();
        } else {
            first.extend(last.into_iter().map(|(namespace, priority)| (namespace.clone(), priority)));
        }
    }

    /// Whether a run of this priority would go before one that is more urgent.
    pub(super) fn is_before(&self, namespace: &Namespace, priority: Priority) -> bool {
        self.lock().get(namespace).is_some_and(|first| priority > *first)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Namespace, Priority>> {
        // Nothing under the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_less_urgent_than_what_waits_does_not_go_ahead_and_who_is_not_does() {
        let (backlog, own) = (Backlog::default(), Namespace::new("own").unwrap());
        let other = Namespace::new("other").unwrap();
        let priority = |number: u8| Priority::try_from(number).unwrap();
        assert!(!backlog.is_before(&own, priority(5)), "nothing waits");
        backlog.left(&own, priority(4));
        backlog.left(&own, priority(2));
        backlog.left(&own, priority(3));
        assert!(backlog.is_before(&own, priority(3)) && !backlog.is_before(&own, priority(2)));
        assert!(!backlog.is_before(&other, priority(5)), "of its own namespace only");
        // The urgent ones were taken, and what is left is like the last of them.
        backlog.claimed([(&own, priority(2)), (&own, priority(3))].into_iter(), false);
        assert!(backlog.is_before(&own, priority(4)) && !backlog.is_before(&own, priority(3)));
        backlog.claimed([(&own, priority(3))].into_iter(), true);
        assert!(!backlog.is_before(&own, priority(5)));
    }
}
