//! The processor time that guests have used.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One of so many turns that take little is measured, and counts for all of them: to ask for a thread's time is a system call,
/// and some turns take hardly longer.
const SAMPLE: u32 = 16;

/// Adds up. Shared by its clones.
#[derive(Clone, Debug, Default)]
pub(super) struct Computed(Arc<Sum>);

#[derive(Debug, Default)]
struct Sum {
    nanos: AtomicU64,
    short: AtomicU32,
}

impl Computed {
    /// Of all guests, since the beginning.
    pub(super) fn total(&self) -> Duration {
        Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed))
    }

    /// Work that takes little.
    pub(super) fn short<T>(&self, work: impl FnOnce() -> T) -> T {
        if !self.0.short.fetch_add(1, Ordering::Relaxed).is_multiple_of(SAMPLE) {
            return work();
        }
        self.measure(SAMPLE, work)
    }

    /// Work that may take long.
    pub(super) fn long<T>(&self, work: impl FnOnce() -> T) -> T {
        self.measure(1, work)
    }

    fn measure<T>(&self, times: u32, work: impl FnOnce() -> T) -> T {
        let begun = thread_time();
        let done = work();
        let nanos = (thread_time().saturating_sub(begun) * times).as_nanos();
        self.0.nanos.fetch_add(u64::try_from(nanos).unwrap_or(u64::MAX), Ordering::Relaxed);
        done
    }
}

/// Work that is measured whenever it is polled.
pub(super) struct Measured<F> {
    pub(super) work: Pin<Box<F>>,
    pub(super) computed: Computed,
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { work, computed } = &mut *self;
        computed.long(|| work.as_mut().poll(context))
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
