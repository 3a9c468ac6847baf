//! The calls that a run has open, and who waits for each.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use crate::bindings::windlass::workflow::event::{Completion, Outcome};
use crate::{Failure, Result, host};

pub(crate) enum State {
    Open(Option<Waker>),
    Done(Outcome),
}

/// By number.
pub(crate) type Calls = BTreeMap<u32, State>;

thread_local! {
    static CALLS: RefCell<Calls> = const { RefCell::new(BTreeMap::new()) };
}

/// Change over to the calls of another run, or back.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn swap(other: &mut Calls) {
    CALLS.with_borrow_mut(|calls| std::mem::swap(calls, other));
}

/// Hand the outcome of a call to whoever waits for it.
pub(crate) fn complete(completion: Completion) {
    let Completion { call, outcome } = completion;
    let open = CALLS.with_borrow_mut(|calls| calls.insert(call, State::Done(outcome)));
    if let Some(State::Open(Some(waker))) = open {
        waker.wake();
    }
}

/// A call that was made. Dropped before its outcome came, it is cancelled.
pub(crate) struct Call {
    id: u32,
    done: bool,
}

impl Call {
    pub(crate) fn new(id: u32) -> Self {
        CALLS.with_borrow_mut(|calls| calls.insert(id, State::Open(None)));
        Self { id, done: false }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn poll(&mut self, context: &Context<'_>) -> Poll<Result<Vec<u8>>> {
        assert!(!self.done, "polled after its outcome was taken");
        CALLS.with_borrow_mut(|calls| match calls.remove(&self.id) {
            Some(State::Done(outcome)) => {
                self.done = true;
                Poll::Ready(match outcome {
                    Outcome::Ok(payload) => Ok(payload),
                    Outcome::Failed(failure) => Err(Failure::from_wit(failure)),
                })
            }
            _ => {
                calls.insert(self.id, State::Open(Some(context.waker().clone())));
                Poll::Pending
            }
        })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.done {
            CALLS.with_borrow_mut(|calls| calls.remove(&self.id));
            host::call::cancel(self.id);
        }
    }
}

/// A call that is made when it is first polled, with an input that was written before.
pub(crate) enum Lazy {
    New(Result<Vec<u8>>),
    Open(Call),
    Done,
}

impl Lazy {
    pub(crate) fn is_new(&self) -> bool {
        matches!(self, Self::New(_))
    }

    /// Make the call, if it was not made. `None`: its result was taken.
    pub(crate) fn start(&mut self, make: impl FnOnce(&[u8]) -> u32) -> Result<Option<&mut Call>> {
        if let Self::New(input) = self {
            // Whoever was not told of an input that JSON cannot say when it was started is told when it waits.
            *self = Self::Open(Call::new(make(input.as_deref().map_err(|failure| failure.clone())?)));
        }
        Ok(if let Self::Open(call) = self { Some(call) } else { None })
    }

    /// Towards the result of the call, which `what` is about.
    pub(crate) fn poll(
        &mut self,
        context: &Context<'_>,
        what: &str,
        make: impl FnOnce(&[u8]) -> u32,
    ) -> Poll<Result<Vec<u8>>> {
        let Some(call) = self.start(make)? else { panic!("`{what}` was polled after its result was taken") };
        let Poll::Ready(result) = call.poll(context) else { return Poll::Pending };
        *self = Self::Done;
        Poll::Ready(result)
    }
}
