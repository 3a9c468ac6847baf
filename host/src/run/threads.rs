//! Where guests compute.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// The threads of a host's guests.
///
/// A workflow's turn takes some microseconds, less than it would take to wake another thread for it: so a guest computes where
/// its activation is, among the tasks of the host, for a slice of time. A turn that takes longer is begun anew on a thread of
/// its own, and so are all that follow of the same program. A step begins beside its workflow too, and goes on among the
/// threads of steps when it waits for something or takes longer than a tick.
#[derive(Clone, Debug)]
pub struct GuestThreads {
    /// Steps that wait or take long: they give way to each other every 10 ms.
    pub steps: Handle,
    /// For turns that take long: as many at once as there are processors.
    long_turns: Arc<Semaphore>,
}

/// The guest's host function, or the engine, has panicked.
#[derive(Debug, thiserror::Error)]
#[error("the host panicked over the guest")]
pub(super) struct Panicked;

impl GuestThreads {
    /// With this runtime for steps.
    pub fn new(steps: Handle) -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self { steps, long_turns: Arc::new(Semaphore::new(processors)) }
    }

    /// Do work that takes little, here.
    pub(super) fn short<T>(&self, work: impl FnOnce() -> T) -> Result<T, Panicked> {
        // What it was at is given up by whoever gets this error.
        catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
    }

    /// Do work that may take long.
    pub(super) async fn long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Panicked> {
        let place = self.long_turns.clone().acquire_owned().await.expect("never closed");
        let work = spawn_blocking(move || {
            let _place = place;
            work()
        });
        work.await.map_err(|_| Panicked)
    }
}
