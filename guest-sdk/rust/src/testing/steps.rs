//! The steps of a run: attempts, and the waits between them.

use rand_chacha::rand_core::Rng as _;

use super::agenda::Entry;
use super::ask::{Ask, value};
use super::attempt::{self, Attempt};
use super::runner::Runner;
use super::{FailedAttempt, rfc3339};
use crate::bindings::exports::windlass::workflow::program;
use crate::bindings::windlass::workflow::types::RetryPolicy;
use crate::{Failure, Result};

impl Runner {
    /// An attempt begins. What it does is done now; its end comes when it is due.
    pub(super) fn begin(&mut self, call: u32, number: u32) {
        let (begun, clock) = {
            let world = self.world.borrow();
            let Some(open) = world.open.get(&call) else { return };
            let Ask::Step { name, input, options } = &open.ask else { return };
            ((name.clone(), input.clone(), *options), world.clock())
        };
        let (name, input, options) = begun;
        let Some(declared) = attempt::declared(&name) else {
            let failure = Failure::new("unknown-step", format!("the component declares no step `{name}`")).fatal();
            return self.complete(call, Err(failure), Some(number));
        };
        let retry = options.retry.unwrap_or_else(|| declared.retry.into_wit());
        let timeout = options.timeout.unwrap_or(declared.timeout_us);
        let attempt = self.attempt(call, number, retry.max_attempts, clock.saturating_add(timeout));
        let script = self.scripts.borrow().steps.get(&name).cloned();
        let (result, takes) = self.instance.enter(|| attempt::run(declared, script.as_ref(), &input, attempt, timeout));
        let end = Attempt { call, number, started_at: clock, retry, result };
        self.world.borrow().put(clock.saturating_add(takes), Entry::End(end));
    }

    /// What the code of a step may know.
    fn attempt(&self, call: u32, number: u32, max_attempts: u32, deadline: u64) -> program::Attempt {
        let world = self.world.borrow();
        let (namespace, run_id) = (world.info.namespace.clone(), world.info.run_id.clone());
        let idempotency_key = format!("{namespace}/{run_id}/{call}");
        let heartbeat = world.open.get(&call).and_then(|open| open.heartbeat.clone());
        program::Attempt { namespace, run_id, call, number, max_attempts, idempotency_key, deadline, heartbeat }
    }

    /// An attempt ends: with it the call, or there is another one later.
    pub(super) fn end(&mut self, attempt: Attempt) {
        let Attempt { call, number, started_at, retry, result } = attempt;
        let Err(failure) = &result else { return self.complete(call, result, Some(number)) };
        let wait = if failure.retryable { self.wait(&retry, number) } else { None };
        let next = {
            let mut world = self.world.borrow_mut();
            let clock = world.clock();
            let next = wait.map(|wait| clock.saturating_add(wait));
            let Some(open) = world.open.get_mut(&call) else { return };
            self.history.attempts.push(FailedAttempt {
                call,
                attempt: number,
                started_at: rfc3339::time(started_at),
                ended_at: Some(rfc3339::time(clock)),
                next_at: next.map(rfc3339::time),
                failure: Some(failure.clone()),
                heartbeat: open.heartbeat.as_deref().map(value),
            });
            if next.is_some() {
                open.attempt = number + 1;
                open.last_failure = Some(failure.clone());
            }
            next
        };
        match next {
            Some(next) => self.world.borrow().put(next, Entry::Begin { call, attempt: number + 1 }),
            None => self.complete(call, result, Some(number)),
        }
    }

    /// From an attempt that failed to the next, in microseconds.
    fn wait(&mut self, retry: &RetryPolicy, number: u32) -> Option<u64> {
        if number >= retry.max_attempts {
            return None;
        }
        let exponent = i32::try_from(number - 1).unwrap_or(i32::MAX);
        let full = (retry.initial as f64 * retry.factor.powi(exponent)).min(retry.maximum as f64);
        // 53 bits: as many as a fraction has.
        let random = self.jitter.as_mut().map_or(0.0, |jitter| (jitter.next_u64() >> 11) as f64 / (1u64 << 53) as f64);
        Some((full * (1.0 - retry.jitter * random)) as u64)
    }

    /// The call has taken too long, all attempts together: what runs is stopped. The last attempt's failure is the cause.
    pub(super) fn total_timeout(&mut self, call: u32) {
        let (failure, attempt) = {
            let world = self.world.borrow();
            let Some(open) = world.open.get(&call) else { return };
            let total = std::time::Duration::from_micros(attempt::total_timeout(&open.ask).unwrap_or_default());
            let total = humantime::format_duration(total);
            let message = format!("the step took longer than {total}, all attempts together");
            let failure = Failure::new("total-timeout", message).fatal();
            (Failure { cause: open.last_failure.clone().map(Box::new), ..failure }, open.attempt)
        };
        let outcome: Result<Vec<u8>> = Err(failure);
        self.complete(call, outcome, Some(attempt));
    }
}
