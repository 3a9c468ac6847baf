//! Which letter goes to which call. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::history::Delivery;
use crate::model::{CallId, CancelReason, Name, Outcome, Payload};
use crate::store::Letter;

/// The letters that came and are not taken, and the calls that wait for some.
#[derive(Debug)]
pub(super) struct Letters {
    pub(super) signals: Mailbox,
    pub(super) updates: Mailbox,
    /// How children have ended, by the call that started them, with the row.
    children: BTreeMap<CallId, (i64, Outcome)>,
    /// The calls that wait for a child.
    awaited: HashSet<CallId>,
    cancel: Option<(i64, CancelReason)>,
    /// A request to let go of the run.
    pub(super) pause: Option<i64>,
    /// The last letter that was seen.
    last: i64,
}

impl Default for Letters {
    fn default() -> Self {
        Self {
            signals: Mailbox::default(),
            updates: Mailbox::default(),
            children: BTreeMap::new(),
            awaited: HashSet::new(),
            cancel: None,
            pause: None,
            // Those that a rewind has put back have numbers below zero.
            last: i64::MIN,
        }
    }
}

/// Letters of one kind, and the calls that wait for them. Each name is a queue on both sides: letters come in the order of their
/// numbers, and calls are made in that of theirs. A guest may have thousands, and take all of them back at once.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    letters: BTreeMap<Name, BTreeMap<i64, Payload>>,
    receivers: BTreeMap<Name, BTreeSet<CallId>>,
    /// The names with anything new since letters were last matched with receivers: thousands may wait, and few have mail.
    changed: BTreeSet<Name>,
}

impl Mailbox {
    fn add(&mut self, id: i64, name: Name, payload: Payload) {
        self.changed.insert(name.clone());
        self.letters.entry(name).or_default().insert(id, payload);
    }

    /// A call waits for one.
    pub(super) fn receive(&mut self, name: Name, call: CallId) {
        self.changed.insert(name.clone());
        self.receivers.entry(name).or_default().insert(call);
    }

    /// A call no longer waits; a letter that had been taken for it is the first of its name again.
    pub(super) fn cancel(&mut self, name: &Name, call: CallId, taken: Option<Delivery>) {
        if let Some(receivers) = self.receivers.get_mut(name) {
            receivers.remove(&call);
        }
        if let Some(Delivery::Completed { inbox: Some(id), outcome: Outcome::Ok(payload), .. }) = taken {
            self.letters.entry(name.clone()).or_default().insert(id, payload);
            self.changed.insert(name.clone());
        }
    }

    fn take(&mut self, deliveries: &mut Vec<Delivery>) {
        for name in std::mem::take(&mut self.changed) {
            let (Some(receivers), Some(letters)) = (self.receivers.get_mut(&name), self.letters.get_mut(&name)) else {
                continue;
            };
            while !receivers.is_empty()
                && let Some((id, payload)) = letters.pop_first()
                && let Some(call) = receivers.pop_first()
            {
                let outcome = Outcome::Ok(payload);
                deliveries.push(Delivery::Completed { call, outcome, attempt: 0, inbox: Some(id) });
            }
            if receivers.is_empty() {
                self.receivers.remove(&name);
            }
            if self.letters.get(&name).is_some_and(BTreeMap::is_empty) {
                self.letters.remove(&name);
            }
        }
    }

    /// The names that calls wait for.
    pub(super) fn names(&self) -> Vec<Name> {
        self.receivers.iter().filter(|(_, receivers)| !receivers.is_empty()).map(|(name, _)| name.clone()).collect()
    }
}

impl Letters {
    /// Letters that came, in the order in which they came. What was seen before is left out.
    pub(super) fn add(&mut self, letters: Vec<Letter>) {
        for letter in letters {
            if letter.id() <= self.last {
                continue;
            }
            self.last = letter.id();
            match letter {
                Letter::Signal { id, name, payload } => self.signals.add(id, name, payload),
                Letter::Update { id, name, payload } => self.updates.add(id, name, payload),
                Letter::Cancel { id, reason } => self.cancel = Some((id, reason)),
                Letter::Pause { id } => self.pause = Some(id),
                Letter::Child { id, call, outcome } => drop(self.children.insert(call, (id, outcome))),
            }
        }
    }

    /// The number of the last letter that was seen.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// A call waits for a child.
    pub(super) fn await_child(&mut self, call: CallId) {
        self.awaited.insert(call);
    }

    /// A call no longer waits for a child.
    pub(super) fn forget_child(&mut self, call: CallId) {
        self.awaited.remove(&call);
    }

    /// What can be delivered now. It is taken.
    pub(super) fn take(&mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        if let Some((id, reason)) = self.cancel.take() {
            deliveries.push(Delivery::CancelRequested { reason, inbox: Some(id) });
        }
        let awaited = &mut self.awaited;
        self.children.retain(|&call, (id, outcome)| {
            let is_awaited = awaited.remove(&call);
            if is_awaited {
                let (outcome, inbox) = (outcome.clone(), Some(*id));
                deliveries.push(Delivery::Completed { call, outcome, attempt: 0, inbox });
            }
            !is_awaited
        });
        self.signals.take(&mut deliveries);
        self.updates.take(&mut deliveries);
        deliveries
    }

    /// Letters about children that nobody waits for any more: those of calls that were dispatched, which are all before
    /// `dispatched`. Their rows.
    pub(super) fn take_unwanted(&mut self, dispatched: CallId) -> Vec<i64> {
        let later = self.children.split_off(&dispatched);
        let unwanted = std::mem::replace(&mut self.children, later);
        unwanted.into_values().map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn signal(id: i64, name_of: &str) -> Letter {
        Letter::Signal { id, name: name(name_of), payload: Payload::of(&id) }
    }

    fn taken(letters: &mut Letters) -> Vec<(CallId, i64)> {
        let pair = |delivery| match delivery {
            Delivery::Completed { call, inbox: Some(id), .. } => (call, id),
            other => panic!("{other:?}"),
        };
        letters.take().into_iter().map(pair).collect()
    }

    #[test]
    fn signals_of_a_name_go_in_order_to_its_calls_in_order() {
        let mut letters = Letters::default();
        letters.signals.receive(name("a"), 7);
        letters.add(vec![signal(1, "a"), signal(2, "b"), signal(3, "a")]);
        letters.signals.receive(name("a"), 8);
        letters.signals.receive(name("a"), 9);
        assert_eq!(taken(&mut letters), [(7, 1), (8, 3)]);
        assert_eq!(letters.signals.names(), [name("a")]);
        letters.signals.receive(name("b"), 10);
        assert_eq!(taken(&mut letters), [(10, 2)]);
    }

    #[test]
    fn a_letter_that_is_read_twice_is_one_letter() {
        let mut letters = Letters::default();
        letters.add(vec![signal(1, "a")]);
        letters.add(vec![signal(1, "a"), signal(2, "a")]);
        letters.signals.receive(name("a"), 0);
        letters.signals.receive(name("a"), 1);
        letters.signals.receive(name("a"), 2);
        assert_eq!(taken(&mut letters), [(0, 1), (1, 2)]);
    }

    #[test]
    fn a_call_that_is_cancelled_takes_no_signal_with_it() {
        let mut letters = Letters::default();
        letters.add(vec![signal(1, "a"), signal(2, "a")]);
        letters.signals.receive(name("a"), 0);
        let delivery = letters.take().remove(0);
        letters.signals.cancel(&name("a"), 0, Some(delivery));
        letters.signals.receive(name("a"), 1);
        letters.signals.receive(name("a"), 2);
        letters.signals.cancel(&name("a"), 1, None);
        assert_eq!(taken(&mut letters), [(2, 1)]);
    }

    #[test]
    fn a_request_to_stop_comes_before_signals() {
        let mut letters = Letters::default();
        letters.signals.receive(name("a"), 0);
        letters.add(vec![signal(1, "a"), Letter::Cancel { id: 2, reason: CancelReason::Requested }]);
        assert!(matches!(letters.take()[..], [Delivery::CancelRequested { inbox: Some(2), .. }, _]));
    }

    #[test]
    fn the_end_of_a_child_goes_to_its_call_and_what_nobody_waits_for_is_given_back() {
        let mut letters = Letters::default();
        let child = |id, call| Letter::Child { id, call, outcome: Outcome::Ok(Payload::null()) };
        letters.add(vec![child(1, 0), child(2, 1), child(3, 5)]);
        assert_eq!(taken(&mut letters), []);
        letters.await_child(1);
        assert_eq!(taken(&mut letters), [(1, 2)]);
        assert_eq!(letters.take_unwanted(2), [1]);
        letters.await_child(5);
        assert_eq!(taken(&mut letters), [(5, 3)]);
    }

    #[test]
    fn signals_and_updates_of_one_name_are_not_mixed_up() {
        let mut letters = Letters::default();
        letters.updates.receive(name("a"), 0);
        letters.add(vec![signal(1, "a")]);
        assert_eq!(taken(&mut letters), []);
        letters.add(vec![Letter::Update { id: 2, name: name("a"), payload: Payload::null() }]);
        assert_eq!(taken(&mut letters), [(0, 2)]);
    }
}
