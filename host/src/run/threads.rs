//! Where guests compute.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::{JoinHandle, yield_now};

use super::computed::{Computed, Measured};
use crate::fair::{Fairly, Places, ProcessorTurn, Processors, Window};
use crate::model::Namespace;
use crate::sandbox::looking;

/// The threads of a host's guests.
///
/// A workflow's turn takes some microseconds, less than it would take to wake another thread for it: so a guest computes where
/// its activation is, among the tasks of the host, for a slice of time. A turn that takes longer is begun anew on a thread of
/// its own, and so are all that follow of the same program. A step begins beside its workflow too, and goes on among the
/// threads of steps when it waits for something or takes longer than a tick. A namespace that uses more of the host's threads
/// than is fair to others computes nothing more among the host's tasks until the next tenth of a second.
#[derive(Clone, Debug)]
pub struct GuestThreads {
    /// Steps that wait or take long, and turns that take long.
    guests: Handle,
    /// For all that computes for long: it gives way every 2 ms.
    processors: Arc<Processors>,
    /// For turns that take long: each has a thread while it waits, too.
    long_turns: Arc<Places>,
    /// Of the threads of the host.
    window: Arc<Window>,
    computed: Computed,
}

/// Turns that take long, at once, for each processor: so that one who comes finds a place although others compute for seconds. Those that
/// wait for a processor cost a thread each, and no time.
const LONG_TURNS: usize = 32;

/// How often whoever waits for time on the host's threads looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The guest's host function, or the engine, has panicked.
#[derive(Debug, thiserror::Error)]
#[error("the host panicked over the guest")]
pub(super) struct Panicked;

impl GuestThreads {
    /// With this runtime for guests that take long.
    pub fn new(guests: Handle) -> Self {
        let count = std::thread::available_parallelism().map_or(2, usize::from);
        let window = Arc::new(Window::new(count));
        let processors = Processors::new(count, window.clone());
        let long_turns = Places::new(LONG_TURNS * count);
        Self { guests, processors, long_turns, window, computed: Computed::default() }
    }

    /// Whether a namespace may compute among the tasks of the host.
    pub(super) fn has_time(&self, namespace: &Namespace) -> bool {
        self.window.has_time(namespace)
    }

    /// What the host itself does for a run because its guest asked for much, a part of it: as if the guest computed, here, and not
    /// before the namespace may.
    pub(super) async fn part<T>(&self, namespace: &Namespace, work: impl FnOnce() -> T) -> T {
        while !self.has_time(namespace) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.give_way().await;
        let begun = Instant::now();
        let done = work();
        self.window.charge(namespace, begun.elapsed());
        done
    }

    /// The processor time that guests have used, on whatever threads.
    pub fn computed(&self) -> Duration {
        self.computed.total()
    }

    /// Do work that takes little, here.
    pub(super) async fn short<T>(&self, namespace: &Namespace, work: impl FnOnce() -> T) -> Result<T, Panicked> {
        self.give_way().await;
        let begun = Instant::now();
        // What it was at is given up by whoever gets this error.
        let done = catch_unwind(AssertUnwindSafe(|| self.computed.short(work))).map_err(|_| Panicked);
        self.window.charge(namespace, begun.elapsed());
        done
    }

    /// A run that has much to do does it piece by piece while others have something to do as well.
    async fn give_way(&self) {
        if self.window.is_crowded() {
            yield_now().await;
        }
    }

    /// Do work that may take long.
    pub(super) async fn long<T: Send + 'static>(
        &self,
        namespace: &Namespace,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let place = self.long_turns.acquire(namespace).await;
        let (computed, processors, namespace) = (self.computed.clone(), self.processors.clone(), namespace.clone());
        let work = self.guests.spawn_blocking(move || {
            let _place = place;
            let mut turn = Some(processors.wait(&namespace));
            looking(move || give_way(&processors, &namespace, &mut turn), || computed.long(work))
        });
        work.await.map_err(|_| Panicked)
    }

    /// Begin a step here. Returns whether it is over.
    pub(super) async fn begin_step<F>(&self, namespace: &Namespace, step: &mut Pin<Box<F>>) -> bool
    where
        F: Future<Output = ()>,
    {
        self.give_way().await;
        let begun = Instant::now();
        let step = std::future::poll_fn(|context| Poll::Ready(self.computed.short(|| step.as_mut().poll(context))));
        let polled = step.await;
        self.window.charge(namespace, begun.elapsed());
        polled.is_ready()
    }

    /// Go on with a step among the others.
    pub(super) fn spawn_step<F>(&self, namespace: &Namespace, step: Pin<Box<F>>) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let step = Box::pin(Measured { work: step, computed: self.computed.clone() });
        self.guests.spawn(Fairly::new(self.processors.clone(), namespace.clone(), step))
    }
}

/// What work that has a thread of its own does every 2 ms: whoever has used less goes first.
fn give_way(processors: &Arc<Processors>, namespace: &Namespace, turn: &mut Option<ProcessorTurn>) {
    if processors.are_wanted() {
        // First: it may be handed on to whoever waits.
        drop(turn.take());
        *turn = Some(processors.wait(namespace));
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Runtime;
    use tokio::time::timeout;

    use super::*;

    /// What is lost would be waited for for ever.
    const LATE: Duration = Duration::from_secs(20);

    /// More than there are places, and than turns of a processor.
    const OFTEN: usize = 5;

    fn panics() {
        panic!("on purpose");
    }

    /// Work for the threads of a host with one processor, and one place for what takes long.
    fn with_threads<F: Future<Output = ()>>(work: impl FnOnce(GuestThreads) -> F) {
        let runtime = Runtime::new().unwrap();
        let done = runtime.block_on(async {
            let window = Arc::new(Window::new(1));
            let (processors, long_turns) = (Processors::new(1, window.clone()), Places::new(1));
            let (guests, computed) = (Handle::current(), Computed::default());
            timeout(LATE, work(GuestThreads { guests, processors, long_turns, window, computed })).await
        });
        // To drop it would be to wait for threads that wait for what was lost.
        runtime.shutdown_background();
        done.expect("a place or a processor was lost");
    }

    fn tenants() -> [Namespace; 2] {
        ["panics", "honest"].map(|name| Namespace::new(name).unwrap())
    }

    #[test]
    fn short_work_that_panics_is_an_error_and_the_next_of_another_namespace_is_done() {
        with_threads(|threads| async move {
            let [bad, honest] = tenants();
            for _ in 0..OFTEN {
                assert!(matches!(threads.short(&bad, panics).await, Err(Panicked)));
                assert_eq!(threads.short(&honest, || 7).await.unwrap(), 7);
            }
        });
    }

    #[test]
    fn long_work_that_panics_gives_its_place_and_its_processor_back() {
        with_threads(|threads| async move {
            let [bad, honest] = tenants();
            for _ in 0..OFTEN {
                assert!(matches!(threads.long(&bad, panics).await, Err(Panicked)));
                assert_eq!(threads.long_turns.free(), 1);
                assert_eq!(threads.long(&honest, || 7).await.unwrap(), 7);
            }
            assert!(!threads.processors.are_wanted());
        });
    }

    #[test]
    fn whoever_waits_while_others_panic_has_a_turn() {
        with_threads(|threads| async move {
            let [bad, honest] = tenants();
            let many = futures_util::future::join_all((0..OFTEN).map(|_| threads.long(&bad, panics)));
            let (panicked, done) = tokio::join!(many, threads.long(&honest, || 7));
            assert!(panicked.iter().all(Result::is_err));
            assert_eq!(done.unwrap(), 7);
        });
    }
}
