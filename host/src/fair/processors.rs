//! Processors, for work that gives way every few milliseconds: whoever has used least goes next.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::model::Namespace;

/// Accounts that are kept; above it, those that are square are forgotten.
const ACCOUNTS_MAX: usize = 1_024;

/// Fewer than there are threads for the work: with as many, whoever is polled would have one, and the order would be that of the
/// threads.
#[derive(Debug)]
pub struct Processors {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
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
struct Turn {
    processors: Arc<Processors>,
    namespace: Namespace,
    since: Instant,
}

impl Processors {
    /// So many.
    pub fn new(count: usize) -> Arc<Self> {
        let state = State { free: count, accounts: HashMap::new(), floor: Duration::ZERO };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn ask(self: &Arc<Self>, namespace: &Namespace) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut state = self.lock();
        let floor = state.floor;
        let account = state.accounts.entry(namespace.clone()).or_default();
        account.used = account.used.max(floor);
        if state.free > 0 {
            // Nobody waits while one is free.
            state.free -= 1;
            return Ok(self.turn(namespace));
        }
        let (sender, turn) = oneshot::channel();
        account_of(&mut state, namespace).waiting.push_back(sender);
        Err(turn)
    }

    fn turn(self: &Arc<Self>, namespace: &Namespace) -> Turn {
        Turn { processors: self.clone(), namespace: namespace.clone(), since: Instant::now() }
    }

    /// One is free: it goes to whoever waits and has used least.
    fn hand_on(self: &Arc<Self>, from: &Namespace, used: Duration) {
        let mut state = self.lock();
        account_of(&mut state, from).used += used;
        let sender = loop {
            let waiting = state.accounts.iter_mut().filter(|(_, account)| !account.waiting.is_empty());
            let Some((namespace, account)) = waiting.min_by_key(|(_, account)| account.used) else { break None };
            let (sender, floor) = (account.waiting.pop_front(), account.used);
            let namespace = namespace.clone();
            if let Some(sender) = sender.filter(|sender| !sender.is_closed()) {
                state.floor = state.floor.max(floor);
                break Some((sender, namespace));
            }
        };
        let Some((sender, namespace)) = sender else {
            state.free += 1;
            if state.accounts.len() > ACCOUNTS_MAX {
                let floor = state.floor;
                state.accounts.retain(|_, account| account.used > floor);
            }
            return;
        };
        drop(state);
        // Who has stopped waiting in this very moment hands it on.
        drop(sender.send(self.turn(&namespace)));
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
        let (processors, counted) = (Processors::new(1), Arc::new(AtomicUsize::new(0)));
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
        let processors = Processors::new(1);
        let (old, new) = (namespace("old"), namespace("new"));
        processors.hand_on(&old, Duration::from_secs(100));
        processors.lock().free = 0;
        let waits = processors.ask(&old).unwrap_err();
        processors.hand_on(&new, Duration::ZERO);
        drop(waits);
        assert!(processors.lock().floor >= Duration::from_secs(100));
        drop(processors.ask(&new));
        assert!(processors.lock().accounts[&new].used >= Duration::from_secs(100));
    }

    #[tokio::test]
    async fn work_that_is_dropped_keeps_no_processor() {
        let processors = Processors::new(1);
        let turn = processors.ask(&namespace("a")).unwrap();
        let mut waits = Fairly::new(processors.clone(), namespace("b"), Box::pin(async {}));
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(turn);
        drop(waits);
        assert_eq!(processors.lock().free, 1);
        Fairly::new(processors.clone(), namespace("c"), Box::pin(async {})).await;
    }
}
