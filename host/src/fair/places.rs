//! Places that are held for a while, such that no namespace can take them all.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::model::Namespace;

/// A namespace may hold this many times the number of places that are free: a dynamic threshold, as in the shared buffers of
/// network switches (A. Choudhury and E. Hahne, *Dynamic Queue Length Thresholds*, 1998).
///
/// One that is alone can hold four fifths of all; of nine that want all they can get, each has 4/37, which is 97 % of a ninth; and
/// what is free, nobody who has much can take from somebody who has just come.
const THRESHOLD: usize = 4;

/// A number of places.
#[derive(Debug)]
pub struct Places {
    max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Only namespaces that hold some.
    held: HashMap<Namespace, usize>,
    /// Only namespaces that wait, in the order in which they asked.
    waiting: HashMap<Namespace, VecDeque<oneshot::Sender<Held>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Held {
    places: Arc<Places>,
    namespace: Namespace,
}

impl Places {
    /// So many.
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, state: Mutex::default() })
    }

    /// A place, if the namespace may have one now.
    pub fn try_take(self: &Arc<Self>, namespace: &Namespace) -> Option<Held> {
        let mut state = self.lock();
        self.may_take(&state, namespace).then(|| self.give(&mut state, namespace))
    }

    /// A place, whether the namespace may have one or not: it is there already.
    pub fn take(self: &Arc<Self>, namespace: &Namespace) -> Held {
        self.give(&mut self.lock(), namespace)
    }

    /// A place, as soon as the namespace may have one. Of those that wait, the namespace that holds least is first.
    pub async fn acquire(self: &Arc<Self>, namespace: &Namespace) -> Held {
        loop {
            let place = {
                let mut state = self.lock();
                if !state.waiting.contains_key(namespace) && self.may_take(&state, namespace) {
                    return self.give(&mut state, namespace);
                }
                let (sender, place) = oneshot::channel();
                state.waiting.entry(namespace.clone()).or_default().push_back(sender);
                place
            };
            if let Ok(held) = place.await {
                return held;
            }
        }
    }

    /// Places that nobody holds.
    pub fn free(&self) -> usize {
        self.max.saturating_sub(self.lock().taken)
    }

    /// How many more a namespace that holds none may take, and how many each of those that hold some.
    pub fn room(&self) -> (usize, Vec<(Namespace, usize)>) {
        let state = self.lock();
        let free = self.max.saturating_sub(state.taken);
        let rooms = state.held.iter().map(|(namespace, held)| (namespace.clone(), room(free, *held)));
        (room(free, 0), rooms.collect())
    }

    fn may_take(&self, state: &State, namespace: &Namespace) -> bool {
        let free = self.max.saturating_sub(state.taken);
        room(free, state.held.get(namespace).copied().unwrap_or(0)) > 0
    }

    fn give(self: &Arc<Self>, state: &mut State, namespace: &Namespace) -> Held {
        state.taken += 1;
        *state.held.entry(namespace.clone()).or_default() += 1;
        Held { places: self.clone(), namespace: namespace.clone() }
    }

    /// Give what is free to those who wait.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let (sender, held) = {
                let mut state = self.lock();
                let held_by = |namespace: &&Namespace| state.held.get(*namespace).copied().unwrap_or(0);
                let Some(first) = state.waiting.keys().min_by_key(held_by).cloned() else { return };
                // Nobody who waits holds less: if it may not, none of them may.
                if !self.may_take(&state, &first) {
                    return;
                }
                let queue = state.waiting.get_mut(&first).expect("it waits");
                let sender = queue.pop_front();
                if queue.is_empty() {
                    state.waiting.remove(&first);
                }
                let Some(sender) = sender.filter(|sender| !sender.is_closed()) else { continue };
                (sender, self.give(&mut state, &first))
            };
            // Who has stopped waiting in this very moment gives the place back, and it is handed out again.
            drop(sender.send(held));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often a namespace that holds `held` may take one more when `free` are free. The last one is for those that have none.
fn room(free: usize, held: usize) -> usize {
    if held == 0 && free > 0 {
        return 1 + room(free - 1, 1);
    }
    // It may while held < THRESHOLD × (free - 1), and each one that it takes moves both sides.
    (THRESHOLD * free).saturating_sub(held) / (THRESHOLD + 1)
}

impl Drop for Held {
    fn drop(&mut self) {
        {
            let mut state = self.places.lock();
            state.taken -= 1;
            if let Some(held) = state.held.get_mut(&self.namespace) {
                *held -= 1;
                if *held == 0 {
                    state.held.remove(&self.namespace);
                }
            }
        }
        self.places.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(number: usize) -> Namespace {
        Namespace::new(&format!("tenant-{number}")).unwrap()
    }

    fn take_all(places: &Arc<Places>, namespace: &Namespace) -> Vec<Held> {
        std::iter::from_fn(|| places.try_take(namespace)).collect()
    }

    #[test]
    fn one_that_is_alone_has_four_fifths() {
        let places = Places::new(1_000);
        assert_eq!(places.room().0, 800);
        assert_eq!(take_all(&places, &namespace(1)).len(), 800);
        let one = Places::new(1);
        assert_eq!(take_all(&one, &namespace(1)).len(), 1);
    }

    #[test]
    fn nine_that_want_all_have_a_ninth_each_or_nearly() {
        let places = Places::new(1_000);
        let mut held: Vec<Vec<Held>> = (0..9).map(|_| Vec::new()).collect();
        // Whoever has too much from the time when it was alone gets no more until it has less than its share.
        for round in 0..10_000 {
            let number = round % 9;
            held[number].extend(places.try_take(&namespace(number)));
            if round % 10 == 0 {
                held[number].pop();
            }
        }
        for held in &held {
            assert!((90..=115).contains(&held.len()), "{}", held.len());
        }
    }

    #[test]
    fn who_comes_last_finds_a_place() {
        let places = Places::new(100);
        let hostile: Vec<_> = (0..3).map(|number| take_all(&places, &namespace(number))).collect();
        assert_eq!(hostile.iter().map(Vec::len).collect::<Vec<_>>(), [80, 16, 3]);
        assert!(places.try_take(&namespace(8)).is_some());
    }

    #[test]
    fn what_a_claim_may_bring_is_what_could_be_taken_one_by_one() {
        for (free, held) in [(0, 0), (1, 0), (1, 4), (7, 3), (100, 0), (100, 399), (100, 400)] {
            let places = Places::new(free + held);
            let _held: Vec<_> = (0..held).map(|_| places.take(&namespace(0))).collect();
            let room = places.room().1.first().map_or(places.room().0, |(_, room)| *room);
            assert_eq!(take_all(&places, &namespace(0)).len(), room, "{free} free, {held} held");
        }
    }

    #[tokio::test]
    async fn of_those_who_wait_the_one_who_holds_least_is_first() {
        let places = Places::new(5);
        let mut much: Vec<_> = (0..4).map(|_| places.take(&namespace(0))).collect();
        let _last = places.take(&namespace(1));
        let (first, second) = (namespace(0), namespace(2));
        let mut waits = std::pin::pin!(places.acquire(&first));
        let mut comes = std::pin::pin!(places.acquire(&second));
        assert!(futures_util::poll!(&mut waits).is_pending());
        assert!(futures_util::poll!(&mut comes).is_pending());
        much.pop();
        assert!(futures_util::poll!(&mut waits).is_pending());
        assert!(futures_util::poll!(&mut comes).is_ready());
    }

    #[tokio::test]
    async fn who_stops_waiting_is_passed_over() {
        let places = Places::new(1);
        let held = places.take(&namespace(0));
        let (first, second) = (namespace(1), namespace(2));
        let mut gone = Box::pin(places.acquire(&first));
        assert!(futures_util::poll!(&mut gone).is_pending());
        let mut waits = std::pin::pin!(places.acquire(&second));
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(gone);
        drop(held);
        let held = futures_util::poll!(&mut waits);
        assert!(held.is_ready());
        assert_eq!(places.free(), 0);
    }
}
