//! Attempts of steps: by a script, or by the step's own code.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::ask::Ask;
use super::limits::{PAYLOAD_BYTES, is_name};
use super::script::Script;
use super::world;
use crate::__private::inventory;
use crate::bindings::exports::windlass::workflow::program;
use crate::bindings::windlass::workflow::types::RetryPolicy;
use crate::event::Woken;
use crate::registry::{BoxFuture, Step};
use crate::timer::micros;
use crate::{Failure, Result, step};

/// An attempt, and how it ends.
pub(super) struct Attempt {
    pub(super) call: u32,
    pub(super) number: u32,
    pub(super) started_at: u64,
    pub(super) retry: RetryPolicy,
    pub(super) result: Result<Vec<u8>>,
}

/// The declared step of this name.
pub(super) fn declared(name: &str) -> Option<&'static Step> {
    let mut found = inventory::iter::<Step>.into_iter().filter(|step| step.name == name);
    let first = found.next();
    assert!(found.next().is_none(), "more than one step is called `{name}`");
    first
}

/// The longest that a whole call may take, in microseconds, if there is a limit.
pub(super) fn total_timeout(ask: &Ask) -> Option<u64> {
    let Ask::Step { name, options, .. } = ask else { return None };
    options.total_timeout.or_else(|| declared(name)?.total_timeout_us)
}

/// The names of all of them.
pub(super) fn names() -> Vec<&'static str> {
    inventory::iter::<Step>.into_iter().map(|step| step.name).collect()
}

/// Do what an attempt does. Gives its end, and how long it takes until then.
pub(super) fn run(
    declared: &Step,
    script: Option<&Script>,
    input: &[u8],
    attempt: program::Attempt,
    timeout: u64,
) -> (Result<Vec<u8>>, u64) {
    let _entered = Entered::new(attempt);
    let (result, takes) = match script {
        Some(script) => script.run(input),
        None => (native(declared, input), Duration::ZERO),
    };
    if micros(takes) > timeout {
        let took = humantime::format_duration(Duration::from_micros(timeout));
        return (Err(Failure::new("timeout", format!("the attempt took longer than {took}"))), timeout);
    }
    (accept(result), micros(takes))
}

/// While it is there, code of a step runs. Dropped even if that panics.
struct Entered;

impl Entered {
    fn new(attempt: program::Attempt) -> Self {
        world::current(|world| world.attempt = Some((attempt.call, attempt.number)));
        step::enter(attempt);
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        step::leave();
        world::current(|world| world.attempt = None);
    }
}

/// What a host does with an end that cannot be kept.
fn accept(result: Result<Vec<u8>>) -> Result<Vec<u8>> {
    match result {
        Ok(payload) if payload.len() > PAYLOAD_BYTES => {
            let message = format!("the result has {} bytes, and {PAYLOAD_BYTES} are the most", payload.len());
            Err(Failure::new("payload-too-large", message).fatal())
        }
        Err(failure) if !is_name(&failure.code) => {
            Err(Failure::new("invalid-name", format!("the step failed with `{}`, which is no code", failure.code))
                .fatal())
        }
        result => result,
    }
}

thread_local! {
    /// Set by a panic that is meant for the author of the test, and not a crash of the step.
    static REFUSED: Cell<bool> = const { Cell::new(false) };
}

/// Run the step's own code. A panic in it is a crash, which is a failed attempt.
fn native(declared: &Step, input: &[u8]) -> Result<Vec<u8>> {
    REFUSED.set(false);
    let run = || poll(declared.name, (declared.run)(input.to_vec()));
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        if REFUSED.take() {
            resume_unwind(panic);
        }
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message = message.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
        Err(Failure::new("step-trap", message))
    })
}

fn poll(name: &str, mut future: Pin<BoxFuture>) -> Result<Vec<u8>> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        if !woken.take() {
            refuse(format_args!("the step `{name}` waits for what a test does not have: {}", advice(name)));
        }
    }
}

fn advice(name: &str) -> String {
    format!("say what it gives, with `test.step(\"{name}\", |input| …)`")
}

/// Panic with a message for the author of the test.
pub(super) fn refuse(message: std::fmt::Arguments<'_>) -> ! {
    REFUSED.set(true);
    panic!("{message}")
}

/// There is no HTTP in a test.
pub(crate) fn refuse_http(url: &str) {
    match world::current(|world| world.step_name()).flatten() {
        Some(step) => refuse(format_args!("the step `{step}` sends HTTP to {url}; a test does not: {}", advice(&step))),
        None => panic!("not-in-this-role: HTTP to {url}, which only the code of a step can send"),
    }
}
