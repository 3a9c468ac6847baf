//! Drives one workflow with events: poll it until nothing in it can go on, pull one event, and again.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::bindings::exports::windlass::workflow::program::Progress;
use crate::bindings::windlass::workflow::event::{Event, next};
use crate::registry::BoxFuture;
use crate::{Failure, Result, call};

/// Set when something that the workflow waits for is there.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Workflow {
    future: Pin<BoxFuture>,
    woken: Arc<Woken>,
}

thread_local! {
    static WAITING: RefCell<Option<Workflow>> = const { RefCell::new(None) };
}

/// Begin a workflow.
pub(crate) fn start(future: Pin<BoxFuture>) -> Progress {
    let woken = Arc::new(Woken(AtomicBool::new(true)));
    drive(Workflow { future, woken })
}

/// Go on with the workflow that was started.
pub(crate) fn resume() -> Progress {
    let workflow = WAITING.take().expect("the host resumes a workflow that waits");
    drive(workflow)
}

fn drive(mut workflow: Workflow) -> Progress {
    let waker = Waker::from(workflow.woken.clone());
    loop {
        // To the end of everything that can go on now, before the next event: history means one event at a time.
        while workflow.woken.0.swap(false, Ordering::Relaxed) {
            if let Poll::Ready(result) = workflow.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return end(result);
            }
        }
        match next() {
            Some(Event::Completed(completion)) => call::complete(completion),
            // Dropping the future runs its destructors, and cancels the calls that it had open.
            Some(Event::CancelRequested) => {
                drop(workflow);
                return end(Err(Failure::new("cancelled", "the run was asked to stop")));
            }
            None => {
                WAITING.set(Some(workflow));
                return Progress::Waiting;
            }
        }
    }
}

fn end(result: Result<Vec<u8>>) -> Progress {
    match result {
        Ok(payload) => Progress::Completed(payload),
        Err(failure) => Progress::Failed(failure.into_wit()),
    }
}
