//! Steps: the only way for a workflow to touch the outside.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::exports::windlass::workflow::program;
use crate::bindings::windlass::workflow::{step, types};
use crate::timer::micros;
use crate::{Result, call, host, payload};

/// How often and how fast a failed step is tried again. Waits are durable.
///
/// The wait after attempt `n` is `initial × factor^(n-1)`, at most `maximum`, made shorter by a random part of at most
/// `jitter`.
///
/// ```
/// use std::time::Duration;
/// use windlass::step::RetryPolicy;
///
/// let twice = RetryPolicy { max_attempts: 2, ..RetryPolicy::DEFAULT };
/// assert_eq!(twice.initial, Duration::from_millis(200));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub max_attempts: u32,
    /// The wait after the first attempt.
    pub initial: Duration,
    /// By how much each wait is longer than the last.
    pub factor: f64,
    /// The longest wait.
    pub maximum: Duration,
    /// The random part of a wait, 0.0 to 1.0.
    pub jitter: f64,
}

impl RetryPolicy {
    /// Ten attempts, 200 ms after the first, doubling up to a minute: about three minutes in all.
    pub const DEFAULT: Self = Self {
        max_attempts: 10,
        initial: Duration::from_millis(200),
        factor: 2.0,
        maximum: Duration::from_secs(60),
        jitter: 0.2,
    };

    pub(crate) fn into_wit(self) -> types::RetryPolicy {
        let Self { max_attempts, initial, factor, maximum, jitter } = self;
        types::RetryPolicy { max_attempts, initial: micros(initial), factor, maximum: micros(maximum), jitter }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a function with `#[windlass::step]` returns to the workflow that calls it: await it for the step's result.
///
/// Nothing happens before it is first polled. Dropped before its result came, it is cancelled: the running attempt is
/// stopped and not repeated.
///
/// ```
/// use std::time::Duration;
///
/// #[windlass::step(timeout = "5s")]
/// async fn charge(cents: u64) -> windlass::Result<String> {
///     Ok(format!("charged {cents}"))
/// }
///
/// #[windlass::workflow]
/// async fn pay(cents: u64) -> windlass::Result<String> {
///     charge(cents).timeout(Duration::from_secs(30)).await
/// }
/// ```
#[must_use = "a step runs when it is awaited"]
pub struct StepCall<T> {
    name: &'static str,
    options: step::Options,
    call: call::Lazy,
    result: PhantomData<fn() -> T>,
}

impl<T> StepCall<T> {
    /// A call of the step `name`. The attribute macro writes this.
    #[doc(hidden)]
    pub fn new(name: &'static str, input: &impl Serialize) -> Self {
        let options = step::Options { retry: None, timeout: None, total_timeout: None };
        Self { name, options, call: call::Lazy::New(payload::encode(input)), result: PhantomData }
    }

    /// Of the step.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Another retry policy than the one that the step declares, for this call.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.options.retry = Some(policy.into_wit());
        self
    }

    /// Another limit for the whole call, all attempts and waits included, than the one that the step declares, for this call.
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.options.total_timeout = Some(micros(timeout));
        self
    }

    /// Another timeout of an attempt than the one that the step declares, for this call.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(micros(timeout));
        self
    }
}

impl<T: DeserializeOwned> Future for StepCall<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { name, options, call, .. } = &mut *self;
        call.poll(context, name, |input| host::step::run(name, input, *options)).map_ok(|payload| {
            // Both ends are of one component: it was another type when the result was recorded. A bug, and not a failure that
            // would end the run for good.
            payload::decode(name, &payload).unwrap_or_else(|failure| {
                panic!("the recorded result of the step is of another type: {}", failure.message)
            })
        })
    }
}

/// One attempt of a step, as the code of the step may know it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// The run's namespace.
    pub namespace: String,
    /// The run.
    pub run_id: String,
    /// The call, numbered from 0 in its run.
    pub call: u32,
    /// 1 for the first attempt.
    pub number: u32,
    /// The attempt that is the last one if it fails.
    pub max_attempts: u32,
    /// The same for all attempts of this call, different for all other calls: give it to services that drop duplicates.
    pub idempotency_key: String,
    /// When the attempt will be stopped.
    pub deadline: std::time::SystemTime,
    heartbeat: Option<Vec<u8>>,
}

impl Attempt {
    /// What an earlier attempt of this call has [reported](crate::heartbeat::report) last, if that is a `T`.
    ///
    /// ```no_run
    /// #[windlass::step]
    /// async fn resume() -> windlass::Result<u64> {
    ///     Ok(windlass::step::attempt().heartbeat().unwrap_or(0))
    /// }
    /// ```
    pub fn heartbeat<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.heartbeat.as_ref()?).ok()
    }
}

thread_local! {
    static ATTEMPT: RefCell<Option<Attempt>> = const { RefCell::new(None) };
}

/// The attempt that is running. Only in the code of a step.
///
/// # Panics
///
/// When called from a workflow.
///
/// ```no_run
/// #[windlass::step]
/// async fn charge(cents: u64) -> windlass::Result<String> {
///     Ok(windlass::step::attempt().idempotency_key)
/// }
/// ```
pub fn attempt() -> Attempt {
    ATTEMPT.with_borrow(Clone::clone).expect("`windlass::step::attempt` is for the code of a step, not of a workflow")
}

pub(crate) fn enter(attempt: program::Attempt) {
    let program::Attempt { namespace, run_id, call, number, max_attempts, idempotency_key, deadline, heartbeat } =
        attempt;
    let deadline = std::time::UNIX_EPOCH + Duration::from_micros(deadline);
    let attempt = Attempt { namespace, run_id, call, number, max_attempts, idempotency_key, deadline, heartbeat };
    ATTEMPT.set(Some(attempt));
}

/// Natively, many attempts run one after the other on a thread.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn leave() {
    ATTEMPT.set(None);
}
