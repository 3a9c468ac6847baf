//! The threads that all namespaces share: how much of them each has used of late.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Namespace;

/// How long a window is.
const LENGTH: Duration = Duration::from_millis(100);

/// The part of the threads' time that is for guests when several namespaces want it; the rest is for the host itself.
const PART: (u32, u32) = (3, 4);

/// The time that each namespace has used in this tenth of a second.
#[derive(Debug)]
pub struct Window {
    threads: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    since: Instant,
    used: HashMap<Namespace, Duration>,
    /// In the one before.
    before: HashMap<Namespace, Duration>,
}

impl Window {
    /// Of so many threads.
    pub fn new(threads: usize) -> Self {
        let state = State { since: Instant::now(), used: HashMap::new(), before: HashMap::new() };
        Self { threads: u32::try_from(threads).unwrap_or(u32::MAX), state: Mutex::new(state) }
    }

    /// A namespace has used this much.
    pub fn charge(&self, namespace: &Namespace, time: Duration) {
        let mut state = self.current();
        if let Some(used) = state.used.get_mut(namespace) {
            *used += time;
        } else {
            state.used.insert(namespace.clone(), time);
        }
    }

    /// Whether several namespaces have used some.
    pub fn is_crowded(&self) -> bool {
        let state = self.current();
        state.several() > 1
    }

    /// Whether anybody else than this namespace has used some.
    pub fn is_used_by_others(&self, namespace: &Namespace) -> bool {
        let state = self.current();
        state.used.keys().chain(state.before.keys()).any(|other| other != namespace)
    }

    /// Whether a namespace may use more. One that is alone always may; of several, each has the same part of three quarters.
    pub fn has_time(&self, namespace: &Namespace) -> bool {
        let state = self.current();
        let several = u32::try_from(state.several()).unwrap_or(u32::MAX);
        several <= 1
            || state.used.get(namespace).is_none_or(|used| *used < LENGTH * self.threads * PART.0 / PART.1 / several)
    }

    fn current(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half way.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let age = state.since.elapsed();
        if age >= LENGTH {
            state.before = std::mem::take(&mut state.used);
            if age >= 2 * LENGTH {
                state.before.clear();
            }
            state.since = Instant::now();
        }
        state
    }
}

impl State {
    fn several(&self) -> usize {
        self.used.len().max(self.before.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace::new(name).unwrap()
    }

    #[test]
    fn one_that_is_alone_may_use_all() {
        let window = Window::new(2);
        window.charge(&namespace("a"), Duration::from_secs(10));
        assert!(window.has_time(&namespace("a")));
    }

    #[test]
    fn who_is_alone_is_told_from_who_is_not() {
        let window = Window::new(2);
        window.charge(&namespace("a"), LENGTH);
        assert!(!window.is_used_by_others(&namespace("a")) && window.is_used_by_others(&namespace("b")));
        std::thread::sleep(LENGTH);
        assert!(window.is_used_by_others(&namespace("b")), "it may come back at any moment");
        std::thread::sleep(2 * LENGTH);
        assert!(!window.is_used_by_others(&namespace("b")));
    }

    #[test]
    fn of_several_each_has_its_part() {
        let window = Window::new(2);
        window.charge(&namespace("a"), LENGTH);
        window.charge(&namespace("b"), LENGTH / 4);
        assert!(!window.has_time(&namespace("a")));
        assert!(window.has_time(&namespace("b")));
        assert!(window.has_time(&namespace("c")));
    }

    #[test]
    fn what_was_used_is_forgotten_and_who_was_there_is_not() {
        let window = Window::new(2);
        window.charge(&namespace("a"), LENGTH);
        window.charge(&namespace("b"), Duration::ZERO);
        std::thread::sleep(LENGTH);
        assert!(window.has_time(&namespace("a")));
        window.charge(&namespace("a"), LENGTH);
        assert!(!window.has_time(&namespace("a")), "b may come back at any moment");
    }
}
