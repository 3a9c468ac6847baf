//! Which signal goes to which call. Pure.

use std::collections::{BTreeMap, VecDeque};

use crate::history::Delivery;
use crate::model::{CallId, Name, Outcome, Payload};
use crate::store::Letter;

/// The signals that came and are not taken, and the calls that wait for some. Each name is a queue on both sides.
#[derive(Debug, Default)]
pub(super) struct Letters {
    signals: BTreeMap<Name, VecDeque<(i64, Payload)>>,
    receivers: BTreeMap<Name, VecDeque<CallId>>,
    cancel: Option<i64>,
    /// The last letter that was seen.
    last: i64,
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
                Letter::Signal { id, name, payload } => self.signals.entry(name).or_default().push_back((id, payload)),
                Letter::Cancel { id } => self.cancel = Some(id),
            }
        }
    }

    /// The number of the last letter that was seen.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// A call waits for a signal.
    pub(super) fn receive(&mut self, name: Name, call: CallId) {
        self.receivers.entry(name).or_default().push_back(call);
    }

    /// A call no longer waits; a signal that had been taken for it is the first of its name again.
    pub(super) fn cancel(&mut self, name: &Name, call: CallId, taken: Option<Delivery>) {
        if let Some(receivers) = self.receivers.get_mut(name) {
            receivers.retain(|receiver| *receiver != call);
        }
        if let Some(Delivery::Completed { inbox: Some(id), outcome: Outcome::Ok(payload), .. }) = taken {
            let signals = self.signals.entry(name.clone()).or_default();
            let place = signals.iter().position(|(other, _)| *other > id).unwrap_or(signals.len());
            signals.insert(place, (id, payload));
        }
    }

    /// What can be delivered now. It is taken.
    pub(super) fn take(&mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        if let Some(id) = self.cancel.take() {
            deliveries.push(Delivery::CancelRequested { inbox: Some(id) });
        }
        for (name, receivers) in &mut self.receivers {
            let Some(signals) = self.signals.get_mut(name) else { continue };
            while let (Some(&call), Some((id, payload))) = (receivers.front(), signals.front().cloned()) {
                receivers.pop_front();
                signals.pop_front();
                let outcome = Outcome::Ok(payload);
                deliveries.push(Delivery::Completed { call, outcome, attempt: 0, inbox: Some(id) });
            }
        }
        self.receivers.retain(|_, receivers| !receivers.is_empty());
        self.signals.retain(|_, signals| !signals.is_empty());
        deliveries
    }

    /// The names that calls wait for.
    pub(super) fn names(&self) -> Vec<Name> {
        self.receivers.iter().filter(|(_, receivers)| !receivers.is_empty()).map(|(name, _)| name.clone()).collect()
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
        letters.receive(name("a"), 7);
        letters.add(vec![signal(1, "a"), signal(2, "b"), signal(3, "a")]);
        letters.receive(name("a"), 8);
        letters.receive(name("a"), 9);
        assert_eq!(taken(&mut letters), [(7, 1), (8, 3)]);
        assert_eq!(letters.names(), [name("a")]);
        letters.receive(name("b"), 10);
        assert_eq!(taken(&mut letters), [(10, 2)]);
    }

    #[test]
    fn a_letter_that_is_read_twice_is_one_letter() {
        let mut letters = Letters::default();
        letters.add(vec![signal(1, "a")]);
        letters.add(vec![signal(1, "a"), signal(2, "a")]);
        letters.receive(name("a"), 0);
        letters.receive(name("a"), 1);
        letters.receive(name("a"), 2);
        assert_eq!(taken(&mut letters), [(0, 1), (1, 2)]);
    }

    #[test]
    fn a_call_that_is_cancelled_takes_no_signal_with_it() {
        let mut letters = Letters::default();
        letters.add(vec![signal(1, "a"), signal(2, "a")]);
        letters.receive(name("a"), 0);
        let delivery = letters.take().remove(0);
        letters.cancel(&name("a"), 0, Some(delivery));
        letters.receive(name("a"), 1);
        letters.receive(name("a"), 2);
        letters.cancel(&name("a"), 1, None);
        assert_eq!(taken(&mut letters), [(2, 1)]);
    }

    #[test]
    fn a_request_to_stop_comes_before_signals() {
        let mut letters = Letters::default();
        letters.receive(name("a"), 0);
        letters.add(vec![signal(1, "a"), Letter::Cancel { id: 2 }]);
        assert!(matches!(letters.take()[..], [Delivery::CancelRequested { inbox: Some(2) }, _]));
    }
}
