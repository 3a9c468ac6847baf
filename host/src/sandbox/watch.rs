//! Stops guest code of the workflow role that computes for too long.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;
use wasmtime::{Result, UpdateDeadline};

use super::Violation;
use super::trap::TIME_EXCEEDED;

/// Processor time that a guest may take on a thread that others need too. Most turns take a hundredth of it or two.
const SLICE: Duration = Duration::from_millis(4);

thread_local! {
    /// What guest code that has the thread to itself does at each look.
    static AT_EACH_LOOK: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

/// Do work, and this at each look of the guest code in it: to wait there takes none of the guest's time. It is dropped when the work is
/// over, also if that has panicked.
pub fn looking<T>(at_each_look: impl FnMut() + 'static, work: impl FnOnce() -> T) -> T {
    struct Until;

    impl Drop for Until {
        fn drop(&mut self) {
            drop(AT_EACH_LOOK.take());
        }
    }

    AT_EACH_LOOK.set(Some(Box::new(at_each_look)));
    let _until = Until;
    work()
}

/// Stops a workflow's guest code when its time is up, or when its activation is over. Looked at every 2 ms.
#[derive(Debug)]
pub struct Watch {
    deadline: Instant,
    /// What there was until then, for the message.
    time: Duration,
    end: CancellationToken,
    slice: Slice,
}

#[derive(Clone, Copy, Debug)]
enum Slice {
    /// The thread is its own.
    Whole,
    /// Counted from the first look: turns that end before one cost nothing.
    NotSeen,
    /// Until the thread has used this much.
    Until(Duration),
}

/// The guest has used up its slice of a thread that it shares. It is called again, from the beginning, on another.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the guest takes long, and the thread is for those that do not")]
pub struct SliceOver;

impl Watch {
    /// For guest code that may go on for `time` from now, and until `end` is cancelled.
    pub fn new(end: CancellationToken, time: Duration) -> Self {
        Self { deadline: Instant::now() + time, time, end, slice: Slice::Whole }
    }

    /// The guest is called. `is_shared`: on a thread that others need too.
    pub fn begin(&mut self, is_shared: bool) {
        self.slice = if is_shared { Slice::NotSeen } else { Slice::Whole };
    }

    /// The guest may go on for `time` from now.
    pub fn wind_up(&mut self, time: Duration) {
        self.deadline = Instant::now() + time;
        self.time = time;
    }

    /// What the guest's store asks at every tick.
    pub fn look(&mut self) -> Result<UpdateDeadline> {
        if matches!(self.slice, Slice::Whole) {
            let begun = Instant::now();
            AT_EACH_LOOK.with_borrow_mut(|at_each_look| at_each_look.as_mut().map(|look| look()));
            self.deadline += begun.elapsed();
        }
        if self.end.is_cancelled() {
            return Err(Violation::new(TIME_EXCEEDED, "the activation is over").into());
        }
        if Instant::now() > self.deadline {
            let most = self.time.as_millis();
            let message = format!("the guest took too long over one event: {most} ms are the most (event_time_ms)");
            return Err(Violation::new(TIME_EXCEEDED, message).into());
        }
        match self.slice {
            Slice::Whole => {}
            Slice::NotSeen => self.slice = Slice::Until(thread_time() + SLICE),
            Slice::Until(end) if thread_time() > end => return Err(SliceOver.into()),
            Slice::Until(_) => {}
        }
        Ok(UpdateDeadline::Continue(1))
    }
}

/// Processor time that this thread has used: on a busy machine a thread waits, and that is nobody's fault.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
