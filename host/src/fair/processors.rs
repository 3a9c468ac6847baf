//! Processors, for work that gives way every few milliseconds: whoever has used least goes next.
//!
//! One of them is left to the host, and to the database that it may share the machine with, while other namespaces than the one that
//! computes want something of the host: the system lets a thread that computes go on for some milliseconds before one that has just
//! something to do, whatever their priorities, and a run waits for several such threads, one after the other.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Window;
use crate::model::Namespace;

/// Accounts that are kept; above it, those that are square are forgotten.
const ACCOUNTS_MAX: usize = 1_024;

/// Fewer than there are threads for the work: with as many, whoever is polled would have one, and the order would be that of the
/// threads.
#[derive(Debug)]
pub struct Processors {
    count: usize,
    /// Who wants something of the host.
    window: Arc<Window>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Those that are taken.
    taken: usize,
    /// Who waits for one, of all accounts.
    waiting: usize,
    accounts: HashMap<Namespace, Account>,
    /// What the last that got a turn had used: who comes begins there, and brings no credit for the time in which it wanted nothing.
    floor: Duration,
}

/// What a namespace has used, and its work that waits.
#[derive(Debug, Default)]
struct Account {
    used: Duration,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A processor, until it is dropped; the time between is charged.
#[derive(Debug)]
pub struct Turn {
    processors: Arc<Processors>,
    namespace: Namespace,
    since: Instant,
}

impl Processors {
    /// So many, of a host whose threads are used as `window` says.
    pub fn new(count: usize, window: Arc<Window>) -> Arc<Self> {
        let state = State { taken: 0, waiting: 0, accounts: HashMap::new(), floor: Duration::ZERO };
        Arc::new(Self { count, window, state: Mutex::new(state) })
    }

    /// Whether anybody waits for one.
    pub fn are_wanted(&self) -> bool {
        self.lock().waiting > 0
    }

    /// Wait for one. Holds the thread.
    pub fn wait(self: &Arc<Self>, namespace: &Namespace) -> Turn {
        loop {
            match self.ask(namespace).map_err(oneshot::Receiver::blocking_recv) {
                Ok(turn) => return turn,
                Err(Ok(mut turn)) => {
                    // From when it is used.
                    turn.since = Instant::now();
                    return turn;
                }
                // The sender is dropped only with the processors, which are here.
                Err(Err(_)) => {}
            }
        }
    }

    /// How many may be taken so that one more is for this namespace.
    fn most_for(&self, namespace: &Namespace) -> usize {
        if self.window.is_used_by_others(namespace) { self.count.saturating_sub(1).max(1) } else { self.count }
    }

    fn ask(self: &Arc<Self>, namespace: &Namespace) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut state = self.lock();
        let floor = state.floor;
        let account = state.accounts.entry(namespace.clone()).or_default();
        account.used = account.used.max(floor);
        // Who waits goes before who comes. As long as anybody waits, one is taken, and handed on.
        if state.waiting == 0 && state.taken < self.most_for(namespace) {
            state.taken += 1;
            return Ok(self.turn(namespace));
        }
        let (sender, turn) = oneshot::channel();
        account_of(&mut state, namespace).waiting.push_back(sender);
        state.waiting += 1;
        Err(turn)
    }

    fn turn(self: &Arc<Self>, namespace: &Namespace) -> Turn {
        Turn { processors: self.clone(), namespace: namespace.clone(), since: Instant::now() }
    }

    /// One is free: it goes to whoever waits and has used least; so do others that were left free until now.
    fn hand_on(self: &Arc<Self>, from: &Namespace, used: Duration) {
        let mut state = self.lock();
        account_of(&mut state, from).used += used;
        state.taken -= 1;
        drop(state);
        while let Some((sender, namespace)) = self.next() {
            // Who has stopped waiting in this very moment hands it on.
            drop(sender.send(self.turn(&namespace)));
        }
    }

    /// Whoever is next, if one is free for it.
    fn next(&self) -> Option<(oneshot::Sender<Turn>, Namespace)> {
        let state = &mut *self.lock();
        while state.waiting > 0 {
            let waiting = state.accounts.iter_mut().filter(|(_, account)| !account.waiting.is_empty());
            let (namespace, account) = waiting.min_by_key(|(_, account)| account.used)?;
            if state.taken >= self.most_for(namespace) {
                return None;
            }
            state.waiting -= 1;
            let sender = account.waiting.pop_front().filter(|sender| !sender.is_closed());
            if let Some(sender) = sender {
                state.floor = state.floor.max(account.used);
                state.taken += 1;
                return Some((sender, namespace.clone()));
            }
        }
        if state.accounts.len() > ACCOUNTS_MAX {
            let floor = state.floor;
            state.accounts.retain(|_, account| account.used > floor);
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn account_of<'a>(state: &'a mut State, namespace: &Namespace) -> &'a mut Account {
    state.accounts.entry(namespace.clone()).or_default()
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.processors.hand_on(&self.namespace, self.since.elapsed());
    }
}

/// Work of a namespace that is polled only when it is the namespace's turn.
#[derive(Debug)]
pub struct Fairly<F> {
    processors: Arc<Processors>,
    namespace: Namespace,
    work: Pin<Box<F>>,
    asked: Option<oneshot::Receiver<Turn>>,
}

impl<F: Future> Fairly<F> {
    /// Let it have its turns.
    pub fn new(processors: Arc<Processors>, namespace: Namespace, work: Pin<Box<F>>) -> Self {
        Self { processors, namespace, work, asked: None }
    }
}

impl<F: Future> Future for Fairly<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let asked = match this.asked.take() {
            Some(asked) => Err(asked),
            None => this.processors.ask(&this.namespace),
        };
        let _turn = match asked {
            Ok(turn) => turn,
            Err(mut asked) => match Pin::new(&mut asked).poll(context) {
                Poll::Ready(Ok(mut turn)) => {
                    // From when it is used.
                    turn.since = Instant::now();
                    turn
                }
                // The sender is dropped only with the processors, of which this has one end.
                Poll::Ready(Err(_)) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => {
                    this.asked = Some(asked);
                    return Poll::Pending;
                }
            },
        };
        this.work.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn namespace(name: &str) -> Namespace {
        Namespace::new(name).unwrap()
    }

    fn processors(count: usize) -> Arc<Processors> {
        Processors::new(count, Arc::new(Window::new(count)))
    }

    fn taken_and_waiting(processors: &Processors) -> (usize, usize) {
        let state = processors.lock();
        (state.taken, state.waiting)
    }

    /// Gives way `rounds` times, after a while each time, and counts.
    async fn work(rounds: usize, each: Duration, count: Arc<AtomicUsize>) {
        for _ in 0..rounds {
            count.fetch_add(1, Ordering::Relaxed);
            let until = Instant::now() + each;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
            give_way().await;
        }
    }

    /// As guests do: they want to go on at once.
    async fn give_way() {
        let mut has_waited = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut has_waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn little_work_goes_before_much() {
        let (processors, counted) = (processors(1), Arc::new(AtomicUsize::new(0)));
        let fairly = |name, rounds, each| {
            let work = work(rounds, Duration::from_micros(each), counted.clone());
            Fairly::new(processors.clone(), namespace(name), Box::pin(work))
        };
        let hogs: Vec<_> = (0..50).map(|_| tokio::spawn(fairly("hog", 1_000_000, 1_000))).collect();
        tokio::task::yield_now().await;
        tokio::spawn(fairly("honest", 20, 0)).await.unwrap();
        // In turns with the fifty, they would have had a thousand by now.
        assert!(counted.load(Ordering::Relaxed) < 200, "{counted:?}");
        hogs.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test]
    async fn who_was_away_brings_no_credit() {
        let processors = processors(1);
        let (old, new) = (namespace("old"), namespace("new"));
        processors.lock().taken = 1;
        processors.hand_on(&old, Duration::from_secs(100));
        processors.lock().taken = 1;
        let waits = processors.ask(&old).unwrap_err();
        processors.hand_on(&new, Duration::ZERO);
        drop(waits);
        assert!(processors.lock().floor >= Duration::from_secs(100));
        drop(processors.ask(&new));
        assert!(processors.lock().accounts[&new].used >= Duration::from_secs(100));
    }

    #[tokio::test]
    async fn work_that_is_dropped_keeps_no_processor() {
        let processors = processors(1);
        let turn = processors.ask(&namespace("a")).unwrap();
        let mut waits = Fairly::new(processors.clone(), namespace("b"), Box::pin(async {}));
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(turn);
        drop(waits);
        assert_eq!(taken_and_waiting(&processors), (0, 0));
        Fairly::new(processors.clone(), namespace("c"), Box::pin(async {})).await;
    }

    #[test]
    fn one_is_left_while_others_want_something_of_the_host_and_used_when_they_do_not() {
        let window = Arc::new(Window::new(2));
        let processors = Processors::new(2, window.clone());
        let (busy, other) = (namespace("busy"), namespace("other"));
        let first = processors.ask(&busy).unwrap();
        let second = processors.ask(&busy).unwrap();
        window.charge(&other, Duration::from_millis(1));
        drop(second);
        let mut waits = processors.ask(&busy).unwrap_err();
        assert!(processors.are_wanted() && waits.try_recv().is_err());
        // Nobody else has come for a while: whoever gives way next hands on both.
        std::thread::sleep(Duration::from_millis(310));
        drop(first);
        let third = waits.try_recv().unwrap();
        let fourth = processors.ask(&busy).unwrap();
        drop((third, fourth));
        assert_eq!(processors.lock().taken, 0);
    }

    #[test]
    fn with_only_one_nobody_waits_for_ever() {
        let window = Arc::new(Window::new(1));
        let processors = Processors::new(1, window.clone());
        window.charge(&namespace("other"), Duration::from_millis(1));
        drop(processors.wait(&namespace("busy")));
    }

    #[test]
    fn a_thread_that_waits_has_its_turn_when_another_gives_way() {
        let processors = processors(1);
        let first = processors.wait(&namespace("a"));
        let second = std::thread::spawn({
            let processors = processors.clone();
            move || drop(processors.wait(&namespace("b")))
        });
        while !processors.are_wanted() {
            std::thread::yield_now();
        }
        drop(first);
        second.join().unwrap();
        assert_eq!(taken_and_waiting(&processors), (0, 0));
    }
}
