//! Drives one workflow with events: poll it until nothing in it can go on, pull one event, and again.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::bindings::exports::windlass::workflow::program::Progress;
use crate::bindings::windlass::workflow::event::Event;
use crate::registry::BoxFuture;
use crate::{Result, call, cancel, host};

/// Set when something that the workflow waits for is there.
#[derive(Default)]
pub(crate) struct Woken(AtomicBool);

impl Woken {
    /// Whether it was woken since this was asked last.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A workflow that was begun.
pub(crate) struct Workflow {
    future: Pin<BoxFuture>,
    woken: Arc<Woken>,
}

thread_local! {
    static WAITING: RefCell<Option<Workflow>> = const { RefCell::new(None) };
    static CONTINUE: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// While it is there, the workflow is to begin again with this input as soon as it has come to rest. Dropped before, say because
/// the run was asked to stop just now, it means nothing: else the request would be lost with the old history.
pub(crate) struct Continuing;

impl Continuing {
    pub(crate) fn new(input: Vec<u8>) -> Self {
        CONTINUE.set(Some(input));
        Self
    }
}

impl Drop for Continuing {
    fn drop(&mut self) {
        CONTINUE.set(None);
    }
}

/// Change over to the workflow of another run, or back.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn swap(other: &mut Option<Workflow>) {
    WAITING.with_borrow_mut(|waiting| std::mem::swap(waiting, other));
}

/// Begin a workflow. All of it is the outermost scope.
pub(crate) fn start(future: Pin<BoxFuture>) -> Progress {
    let future = Box::pin(async { cancel::cancellable(future).await.flatten() });
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
        while workflow.woken.take() {
            if let Poll::Ready(result) = workflow.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return end(result);
            }
            if let Some(input) = CONTINUE.take() {
                return Progress::ContinueAsNew(input);
            }
        }
        match host::event::next() {
            Some(Event::Completed(completion)) => call::complete(completion),
            Some(Event::CancelRequested(reason)) => cancel::request(reason),
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
