//! Steps of a run: attempts, each in a fresh instance, until one succeeds or no more may be made.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};
use wasmtime::Store;

use super::active::Mail;
use super::gate::RunGate;
use super::threads::GuestThreads;
use super::{Program, Programs, Secrets};
use crate::fair::Places;
use crate::imports::bindings::step::exports::windlass::workflow::program;
use crate::imports::bindings::types;
use crate::imports::{StepContext, failure};
use crate::model::{
    CallId, Failure, GuestLimits, LogLine, Name, Payload, PayloadError, RetryPolicy, RunInfo, StepOptions, Timestamp,
    code,
};
use crate::sandbox::{Allowance, Computing, Crash, Fuel, Http, LogBuffer, Network, Used, Violation};
use crate::store::{DatabaseClock, Lease, RunWriter};

/// An attempt that runs for longer than this is worth a row, so that people see it.
const LONG: Duration = Duration::from_secs(5);

/// How often what an attempt reports is recorded, at most.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// Bytes of details that are held of a failure while its step waits for the next attempt.
const CARRIED_MAX: usize = 16 << 10;

/// A failure whose step waits for the next attempt. Thousands may: of one that carries much, only the code and the message are
/// held.
pub(super) fn lightened(mut failure: Failure) -> Failure {
    let carried = [&failure.details, &failure.cause].into_iter().flatten().map(Payload::len).sum::<usize>();
    if carried > CARRIED_MAX {
        (failure.details, failure.cause) = (None, None);
    }
    failure
}

/// What all attempts of a run have in common.
pub(super) struct StepRunner {
    pub(super) info: Arc<RunInfo>,
    pub(super) program: Arc<Program>,
    pub(super) programs: Arc<Programs>,
    pub(super) network: Arc<Network>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) limits: Arc<GuestLimits>,
    pub(super) clock: DatabaseClock,
    pub(super) lease: Arc<Lease>,
    pub(super) writer: RunWriter,
    pub(super) places: Arc<Places>,
    pub(super) threads: GuestThreads,
    pub(super) address: mpsc::UnboundedSender<Mail>,
}

/// A call of a step that has no outcome yet.
#[derive(Debug)]
pub(super) struct OpenStep {
    pub(super) name: Name,
    pub(super) input: Payload,
    pub(super) retry: RetryPolicy,
    timeout: Duration,
    pub(super) total_timeout: Option<Duration>,
    /// What an attempt reported last.
    pub(super) heartbeat: Option<Payload>,
    /// Why the last attempt failed.
    pub(super) last_failure: Option<Failure>,
    /// The attempt that runs, or is the next to run.
    pub(super) attempt: u32,
    /// When that may begin, if it has a turn: see `turns.rs`.
    pub(super) turn: Option<Timestamp>,
    running: Option<Running>,
}

/// Stops a task when it is dropped.
#[derive(Debug)]
pub(super) struct Running(AbortHandle);

impl Running {
    pub(super) fn new(task: &JoinHandle<()>) -> Self {
        Self(task.abort_handle())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An attempt that is over.
#[derive(Debug)]
pub(super) struct AttemptEnd {
    pub(super) call: CallId,
    pub(super) attempt: u32,
    pub(super) started_at: Timestamp,
    pub(super) heartbeat: Option<Payload>,
    pub(super) result: Result<Payload, Failure>,
    pub(super) lines: Vec<LogLine>,
}

/// An attempt that has been running for long, or has given a sign of life.
#[derive(Debug)]
pub(super) struct StillRunning {
    pub(super) call: CallId,
    pub(super) attempt: u32,
    pub(super) started_at: Timestamp,
    /// What it reported last.
    pub(super) heartbeat: Option<Payload>,
}

impl OpenStep {
    /// As the manifest declares it, where the call does not say otherwise. A step that is not declared fails at once.
    pub(super) fn new(name: Name, input: Payload, options: StepOptions, program: &Program) -> Self {
        let declared = program.manifest.step(&name);
        let retry = options.retry.or(declared.map(|step| step.retry)).unwrap_or_default();
        let timeout = options.timeout.or(declared.map(|step| step.timeout())).unwrap_or(LONG);
        let total_timeout = options.total_timeout.or(declared.and_then(|step| step.total_timeout()));
        let (heartbeat, last_failure, turn, running) = (None, None, None, None);
        Self { name, input, retry, timeout, total_timeout, heartbeat, last_failure, attempt: 1, turn, running }
    }

    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The last attempt failed, and there is another.
    pub(super) fn failed(&mut self, failure: Failure) {
        self.attempt += 1;
        self.last_failure = Some(lightened(failure));
    }

    /// The attempt is over, whatever it came to.
    pub(super) fn ended(&mut self, heartbeat: Option<Payload>) {
        self.running = None;
        self.heartbeat = heartbeat.or(self.heartbeat.take());
    }
}

impl StepRunner {
    /// Begin the step's next attempt. Its end comes by mail.
    pub(super) fn begin(self: &Arc<Self>, call: CallId, step: &mut OpenStep) {
        let attempt = self.attempt(call, step);
        self.spawn(step, Box::pin(attempt.run(self.clone())));
    }

    /// The same, on this thread: most attempts are over at once. What waits for something, or takes longer than a tick, goes
    /// on among the threads of steps, and so does all of a namespace that takes more of this thread than is fair.
    pub(super) async fn begin_here(self: &Arc<Self>, call: CallId, step: &mut OpenStep) {
        let mut attempt = Box::pin(self.attempt(call, step).run(self.clone()));
        let namespace = &self.info.namespace;
        if !self.threads.has_time(namespace) {
            return self.spawn(step, attempt);
        }
        if !self.threads.begin_step(namespace, &mut attempt).await {
            self.spawn(step, attempt);
        }
    }

    fn spawn(&self, step: &mut OpenStep, attempt: Pin<Box<impl Future<Output = ()> + Send + 'static>>) {
        step.running = Some(Running::new(&self.threads.spawn_step(&self.info.namespace, attempt)));
    }

    fn attempt(&self, call: CallId, step: &OpenStep) -> Attempt {
        Attempt {
            call,
            number: step.attempt,
            max_attempts: step.retry.max_attempts,
            name: step.name.clone(),
            input: step.input.clone(),
            timeout: step.timeout.min(self.limits.step_time()),
            log: LogBuffer::new(&self.limits),
            earlier_heartbeat: step.heartbeat.clone(),
            heartbeat: watch::Sender::new(None),
        }
    }
}

/// For the test of hosts that a run takes down with it: the host dies where this step begins. In builds for debugging only.
#[cfg(debug_assertions)]
fn abort_if_told(step: &Name) {
    if std::env::var_os("WINDLASS_TEST_ABORT_AT_STEP").is_some_and(|told| *told == **step) {
        std::process::abort();
    }
}

struct Attempt {
    call: CallId,
    number: u32,
    max_attempts: u32,
    name: Name,
    input: Payload,
    timeout: Duration,
    log: LogBuffer,
    earlier_heartbeat: Option<Payload>,
    heartbeat: watch::Sender<Option<Payload>>,
}

impl Attempt {
    async fn run(self, runner: Arc<StepRunner>) {
        let _place = runner.places.acquire(&runner.info.namespace).await;
        let started_at = runner.clock.now();
        // A panic of the host over a guest is this attempt's, and nobody else's.
        let work = AssertUnwindSafe(self.execute(&runner, started_at)).catch_unwind();
        let work = tokio::time::timeout(self.timeout, work);
        let result = tokio::select! {
            result = work => result,
            never = self.tell_of_life(&runner, started_at) => never,
        };
        let result = match result {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => Err(Failure::retryable("host-error", "the host panicked over the attempt")),
            Err(_elapsed) => {
                let took = humantime::format_duration(self.timeout);
                let is_most = self.timeout == runner.limits.step_time();
                let limit = if is_most { ", which is the most that one may take (step_time_ms)" } else { "" };
                Err(Failure::retryable(code::TIMEOUT, format!("the attempt took longer than {took}{limit}")))
            }
        };
        let (call, attempt, heartbeat) = (self.call, self.number, self.heartbeat.borrow().clone());
        let end = AttemptEnd { call, attempt, started_at, heartbeat, result, lines: self.log.take() };
        self.mail(&runner, Mail::Attempt(Box::new(end)));
    }

    /// Say that the attempt has been running for long, and what it reports meanwhile. Never ends.
    async fn tell_of_life<T>(&self, runner: &StepRunner, started_at: Timestamp) -> T {
        let (call, attempt) = (self.call, self.number);
        let mut heartbeats = self.heartbeat.subscribe();
        let long = tokio::time::sleep(LONG);
        let mut long = std::pin::pin!(long);
        let mut is_long = false;
        loop {
            tokio::select! {
                () = &mut long, if !is_long => is_long = true,
                _ = heartbeats.changed() => {}
            }
            let heartbeat = heartbeats.borrow_and_update().clone();
            self.mail(runner, Mail::StillRunning(Box::new(StillRunning { call, attempt, started_at, heartbeat })));
            tokio::time::sleep(HEARTBEAT_EVERY).await;
        }
    }

    fn mail(&self, runner: &StepRunner, mail: Mail) {
        // An activation that is over wants no mail.
        let _ = runner.address.send(mail);
    }

    async fn execute(&self, runner: &StepRunner, started_at: Timestamp) -> Result<Payload, Failure> {
        let Some(declared) = runner.program.manifest.step(&self.name) else {
            return Err(Failure::fatal(code::UNKNOWN_STEP, format!("the component declares no step `{}`", self.name)));
        };
        #[cfg(debug_assertions)]
        abort_if_told(&self.name);
        let info = &runner.info;
        let granted = if declared.http.is_empty() {
            Arc::default()
        } else {
            let granted = runner.programs.grants(&info.namespace, &info.component).await;
            granted.map_err(|error| Failure::retryable("host-error", error))?
        };
        let allowance = Arc::new(Allowance {
            namespace: info.namespace.clone(),
            component: info.component.clone(),
            step: self.name.clone(),
            asked: declared.http.clone(),
            granted,
            gate: Arc::new(RunGate { lease: runner.lease.clone(), writer: runner.writer.clone() }),
            network: runner.network.clone(),
            vault: runner.secrets.clone(),
            limits: runner.limits.clone(),
            log: self.log.clone(),
            used: Used::default(),
        });
        let http = Http::new(allowance.clone());
        let context = StepContext::new(runner.limits.clone(), self.log.clone(), http, self.heartbeat.clone());
        let result = self.call(runner, context, started_at).await;
        let result = result.map_err(|error| self.explain(&error, Fuel::Step(runner.limits.step_fuel)));
        result.and_then(|result| self.accept(result, &runner.limits)).map_err(|failure| refused(failure, &allowance))
    }

    async fn call(
        &self,
        runner: &StepRunner,
        context: StepContext,
        started_at: Timestamp,
    ) -> wasmtime::Result<Result<Vec<u8>, types::Failure>> {
        let mut store = Store::new(runner.program.code.step.engine(), context);
        store.limiter(|context| &mut context.limiter);
        store.set_hostcall_fuel(runner.limits.hostcall_bytes);
        store.set_fuel(runner.limits.step_fuel)?;
        // Without a deadline of its own, the first look would be one tick late already.
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let _computing = Computing::new();
        let exports = runner.program.code.step.instantiate_async(&mut store).await?;
        let info = &runner.info;
        let attempt = program::Attempt {
            namespace: info.namespace.to_string(),
            run_id: info.run_id.to_string(),
            call: self.call,
            number: self.number,
            max_attempts: self.max_attempts,
            idempotency_key: format!("{}/{}", info.namespace, info.key_of(self.call)),
            deadline: started_at.after(self.timeout).as_micros(),
            heartbeat: self.earlier_heartbeat.as_ref().map(|heartbeat| heartbeat.as_bytes().to_vec()),
        };
        let program = exports.windlass_workflow_program();
        program.call_run_step(&mut store, &self.name, &self.input.as_bytes().to_vec(), &attempt).await
    }

    /// What the guest returned, as something that can be kept.
    fn accept(&self, result: Result<Vec<u8>, types::Failure>, limits: &GuestLimits) -> Result<Payload, Failure> {
        match result {
            Ok(payload) => Payload::new(payload, limits.payload_bytes).map_err(|error| match error {
                PayloadError::TooLarge { .. } => Failure::fatal(code::PAYLOAD_TOO_LARGE, error),
                PayloadError::Invalid(_) => Failure::fatal(code::INVALID_PAYLOAD, error),
            }),
            Err(reason) => Err(failure(reason, limits).unwrap_or_else(|Violation { code, message }| {
                Failure::fatal(code, format!("the step failed, and its failure is not acceptable: {message}"))
            })),
        }
    }

    /// A crash is a failed attempt like any other.
    fn explain(&self, error: &wasmtime::Error, fuel: Fuel) -> Failure {
        match Crash::of(error, fuel) {
            Crash::Trap(trap) if trap.code == "guest-panic" => {
                let message = self.log.last_error().unwrap_or(trap.message);
                Failure::retryable(code::STEP_TRAP, message)
            }
            Crash::Trap(trap) if trap.code == "guest-trap" => Failure::retryable(code::STEP_TRAP, trap.message),
            Crash::Trap(trap) => Failure::retryable(&trap.code, trap.message),
            Crash::Host(message) => Failure::retryable("host-error", message),
        }
    }
}

/// Codes with which the SDK reports that a request came to nothing. `wasi:http` tells a guest hardly why.
const NOT_SENT: [&str; 7] = [
    "http-denied",
    "http-address-blocked",
    "http-invalid",
    "http-too-many-requests",
    "http-request-too-large",
    "http-response-too-large",
    "secret-denied",
];

/// If the attempt failed because the host refused its last request, it fails with the host's own words.
fn refused(failure: Failure, allowance: &Allowance) -> Failure {
    let is_about_http = failure.code == "http-error" || NOT_SENT.contains(&&*failure.code);
    match allowance.refusal().filter(|_| is_about_http) {
        Some(refusal) => {
            Failure { code: refusal.rule.code().to_owned(), message: refusal.message, retryable: false, ..failure }
        }
        None => failure,
    }
}
