//! Drives the guest of one run: gives it one event at a time, and does meanwhile what a host does.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;
use serde_json::Value;

use super::agenda::Entry;
use super::ask::{Ask, value};
use super::attempt::{self, Attempt};
use super::instance::Instance;
use super::world::World;
use super::{Event, FailedAttempt, History, Kind, Script, Started, limits, rfc3339};
use crate::bindings::exports::windlass::workflow::program::{self, Progress};
use crate::bindings::windlass::workflow::event::{Completion, Event as Pulled, Outcome};
use crate::bindings::windlass::workflow::types::RetryPolicy;
use crate::{Failure, Result, event, registry};

/// After so many events it is clear that there will be no end.
pub(super) const ENDLESS: usize = 100_000;

/// The scripts of a test, by the name of the step.
pub(super) type Scripts = Rc<RefCell<BTreeMap<String, Script>>>;

pub(super) struct Runner {
    pub(super) world: Rc<RefCell<World>>,
    instance: Instance,
    scripts: Scripts,
    /// Makes waits shorter, if they are to be.
    jitter: Option<ChaCha8Rng>,
    pub(super) history: History,
    pub(super) ended: Option<Result<Value>>,
}

impl Runner {
    pub(super) fn new(started: Started, scripts: Scripts, jitter: Option<ChaCha8Rng>) -> Self {
        let world = Rc::new(RefCell::new(World::new(&started, "default")));
        let instance = Instance::new(world.clone());
        let history = History { run: Some(started), events: Vec::new(), attempts: Vec::new() };
        Self { world, instance, scripts, jitter, history, ended: None }
    }

    /// Begin the workflow, and go on until it waits for something.
    pub(super) fn start(&mut self, workflow: &registry::Workflow, input: &Value) {
        let input = input.to_string().into_bytes();
        limits::payload(&input);
        let progress = self.instance.enter(|| event::start((workflow.start)(input)));
        self.note(progress);
    }

    /// Do all that happens until then.
    pub(super) fn advance(&mut self, until: u64) {
        let (mut clock, mut still) = (0, 0);
        while self.next(until) {
            let now = self.world.borrow().clock;
            still = if now == clock { still + 1 } else { 0 };
            clock = now;
            assert!(still < ENDLESS, "{ENDLESS} things happened in no time: a loop that never sleeps?");
        }
        if self.ended.is_none() {
            let mut world = self.world.borrow_mut();
            world.clock = world.clock.max(until);
        }
    }

    /// Do the next thing that happens until then, if there is one.
    pub(super) fn next(&mut self, until: u64) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let Some(entry) = self.world.borrow_mut().next(until) else { return false };
        match entry {
            Entry::Due { call } => self.complete(call, Ok(b"null".to_vec()), None),
            Entry::Begin { call, attempt } => self.begin(call, attempt),
            Entry::End(attempt) => self.end(attempt),
            Entry::Send { name, payload } => {
                self.world.borrow_mut().inbox.push((name, payload));
                self.receive();
            }
            Entry::Receive => self.receive(),
            Entry::Cancel => self.cancel(),
        }
        true
    }

    fn receive(&mut self) {
        let received = self.world.borrow_mut().receive();
        if let Some((call, payload)) = received {
            self.complete(call, Ok(payload), None);
        }
    }

    /// An attempt begins. What it does is done now; its end comes when it is due.
    fn begin(&mut self, call: u32, number: u32) {
        let (begun, clock) = {
            let world = self.world.borrow();
            let Some(open) = world.open.get(&call) else { return };
            let Ask::Step { name, input, options } = &open.ask else { return };
            ((name.clone(), input.clone(), *options), world.clock)
        };
        let (name, input, options) = begun;
        let Some(declared) = attempt::declared(&name) else {
            let failure = Failure::new("unknown-step", format!("the component declares no step `{name}`")).fatal();
            return self.complete(call, Err(failure), Some(number));
        };
        let retry = options.retry.unwrap_or_else(|| declared.retry.into_wit());
        let timeout = options.timeout.unwrap_or(declared.timeout_us);
        let attempt = self.attempt(call, number, retry.max_attempts, clock.saturating_add(timeout));
        let script = self.scripts.borrow().get(&name).cloned();
        let (result, takes) = self.instance.enter(|| attempt::run(declared, script.as_ref(), &input, attempt, timeout));
        let mut world = self.world.borrow_mut();
        let end = Attempt { call, number, started_at: clock, retry, result };
        world.agenda.put(clock.saturating_add(takes), Entry::End(end));
    }

    /// What the code of a step may know.
    fn attempt(&self, call: u32, number: u32, max_attempts: u32, deadline: u64) -> program::Attempt {
        let info = &self.world.borrow().info;
        let (namespace, run_id) = (info.namespace.clone(), info.run_id.clone());
        let idempotency_key = format!("{namespace}/{run_id}/{call}");
        program::Attempt { namespace, run_id, call, number, max_attempts, idempotency_key, deadline }
    }

    /// An attempt ends: with it the call, or there is another one later.
    fn end(&mut self, attempt: Attempt) {
        let Attempt { call, number, started_at, retry, result } = attempt;
        let Err(failure) = &result else { return self.complete(call, result, Some(number)) };
        let wait = if failure.retryable { self.wait(&retry, number) } else { None };
        let mut world = self.world.borrow_mut();
        let next = wait.map(|wait| world.clock.saturating_add(wait));
        self.history.attempts.push(FailedAttempt {
            call,
            attempt: number,
            started_at: rfc3339::time(started_at),
            ended_at: Some(rfc3339::time(world.clock)),
            next_at: next.map(rfc3339::time),
            failure: Some(failure.clone()),
        });
        match next {
            Some(next) => world.agenda.put(next, Entry::Begin { call, attempt: number + 1 }),
            None => {
                drop(world);
                self.complete(call, result, Some(number));
            }
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

    /// A call has its outcome: tell the workflow, if it still wants it.
    pub(super) fn complete(&mut self, call: u32, outcome: Result<Vec<u8>>, attempt: Option<u32>) {
        let mut world = self.world.borrow_mut();
        let Some(open) = world.open.remove(&call) else { return };
        let asked = open.ask.asked(call);
        self.history.events.push(Event {
            seq: self.next_seq(),
            at: rfc3339::time(world.clock),
            kind: asked.kind,
            call: Some(call),
            name: asked.name,
            input: asked.input,
            asked_at: Some(rfc3339::time(open.asked_at)),
            attempt,
            outcome: Some(outcome.as_deref().map(value).map_err(Clone::clone)),
        });
        let outcome = match outcome {
            Ok(payload) => Outcome::Ok(payload),
            Err(failure) => Outcome::Failed(failure.into_wit()),
        };
        world.event = Some(Pulled::Completed(Completion { call, outcome }));
        drop(world);
        self.resume();
    }

    /// Ask the workflow to stop, unless it was asked before.
    pub(super) fn cancel(&mut self) {
        if self.cancel_requested() {
            return;
        }
        let mut world = self.world.borrow_mut();
        self.history.events.push(Event {
            seq: self.next_seq(),
            at: rfc3339::time(world.clock),
            kind: Kind::CancelRequested,
            call: None,
            name: String::new(),
            input: Value::Null,
            asked_at: None,
            attempt: None,
            outcome: None,
        });
        world.event = Some(Pulled::CancelRequested);
        drop(world);
        self.resume();
    }

    pub(super) fn cancel_requested(&self) -> bool {
        self.history.events.iter().any(|event| event.kind == Kind::CancelRequested)
    }

    fn next_seq(&self) -> u32 {
        u32::try_from(self.history.events.len()).expect("fewer than 2^32 events")
    }

    fn resume(&mut self) {
        let progress = self.instance.enter(event::resume);
        self.note(progress);
    }

    fn note(&mut self, progress: Progress) {
        let ended = match progress {
            Progress::Waiting | Progress::Yielded => return,
            Progress::Completed(payload) => {
                limits::payload(&payload);
                Ok(value(&payload))
            }
            Progress::Failed(failure) => {
                limits::name(&failure.code);
                Err(Failure::from_wit(failure))
            }
        };
        self.ended = Some(ended);
        // A host drops what is open then.
        self.world.borrow_mut().open.clear();
    }
}
