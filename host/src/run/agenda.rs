//! When something is due. Pure.

use std::collections::{BTreeSet, HashMap};

use crate::model::{CallId, Timestamp};

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Due {
    /// A sleep is over.
    Sleep(CallId),
    /// The next attempt of a step.
    Retry(CallId),
    /// A step has taken too long, all attempts together.
    TotalTimeout(CallId),
    /// The run is asked to stop.
    Deadline,
}

/// What is due, in order of time. Cost: the logarithm of how much there is.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    items: BTreeSet<(Timestamp, Due)>,
    by_due: HashMap<Due, Timestamp>,
}

impl Agenda {
    /// It is due then, and not when it was before.
    pub(super) fn set(&mut self, at: Timestamp, due: Due) {
        if let Some(before) = self.by_due.insert(due, at) {
            self.items.remove(&(before, due));
        }
        self.items.insert((at, due));
    }

    /// Nothing of a call is due any more.
    pub(super) fn forget(&mut self, call: CallId) {
        for due in [Due::Sleep(call), Due::Retry(call), Due::TotalTimeout(call)] {
            if let Some(at) = self.by_due.remove(&due) {
                self.items.remove(&(at, due));
            }
        }
    }

    /// Take the next that is due at `now`.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Due> {
        let &(at, due) = self.items.first().filter(|(at, _)| *at <= now)?;
        self.items.remove(&(at, due));
        self.by_due.remove(&due);
        Some(due)
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.items.first().map(|(at, _)| *at)
    }

    /// When this is due.
    pub(super) fn at(&self, due: Due) -> Option<Timestamp> {
        self.by_due.get(&due).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: i64) -> Timestamp {
        Timestamp::from_micros(us)
    }

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let mut agenda = Agenda::default();
        agenda.set(at(30), Due::Sleep(1));
        agenda.set(at(10), Due::Retry(2));
        agenda.set(at(20), Due::Deadline);
        assert_eq!((agenda.next(), agenda.take(at(9))), (Some(at(10)), None));
        let taken: Vec<_> = std::iter::from_fn(|| agenda.take(at(25))).collect();
        assert_eq!(taken, [Due::Retry(2), Due::Deadline]);
        assert_eq!(agenda.next(), Some(at(30)));
    }

    #[test]
    fn another_time_replaces_the_first_and_a_call_that_is_forgotten_is_never_due() {
        let mut agenda = Agenda::default();
        agenda.set(at(10), Due::Retry(1));
        agenda.set(at(40), Due::Retry(1));
        agenda.set(at(50), Due::TotalTimeout(1));
        assert_eq!((agenda.next(), agenda.at(Due::Retry(1))), (Some(at(40)), Some(at(40))));
        agenda.forget(1);
        assert_eq!((agenda.next(), agenda.take(at(100))), (None, None));
    }
}
