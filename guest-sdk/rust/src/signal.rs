//! Messages from outside.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::race::{Either, race};
use crate::{Result, call, host, payload, sleep};

/// Wait for the next signal called `name`.
///
/// Signals wait in the run's durable inbox from the moment they are sent, whether or not the workflow has asked for them
/// yet; each is delivered once, those of one name in the order in which they were sent. Fails with `invalid-payload` if
/// what was sent is no `T`.
///
/// ```
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Approval {
///     by: String,
/// }
///
/// #[windlass::workflow]
/// async fn release() -> windlass::Result<String> {
///     let approval = windlass::signal::<Approval>("approval").await?;
///     Ok(approval.by)
/// }
/// ```
pub fn signal<T>(name: impl Into<String>) -> Signal<T> {
    Signal { name: name.into(), call: None, payload: PhantomData }
}

/// Returned by [`signal`]. Dropped before the signal came, it takes none with it.
#[must_use = "a signal is received when it is awaited"]
pub struct Signal<T> {
    name: String,
    call: Option<call::Call>,
    payload: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Signal<T> {
    /// Wait no longer than `timeout`; `None` if no signal came in time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// #[windlass::workflow]
    /// async fn release() -> windlass::Result<bool> {
    ///     let approved = windlass::signal::<bool>("approval").timeout(Duration::from_secs(3600)).await?;
    ///     Ok(approved.unwrap_or(false))
    /// }
    /// ```
    pub async fn timeout(self, timeout: Duration) -> Result<Option<T>> {
        match race(self, sleep(timeout)).await {
            Either::Left(signal) => signal.map(Some),
            Either::Right(()) => Ok(None),
        }
    }
}

/// Send a signal to another run of the namespace, or to this one: exactly once, whatever crashes.
///
/// Fails with `no-such-run`, `run-ended` or `inbox-full`.
///
/// ```
/// #[windlass::workflow]
/// async fn nudge(run_id: String) -> windlass::Result<()> {
///     windlass::send_signal(&run_id, "nudge", &"hurry up").await
/// }
/// ```
pub fn send_signal(run_id: impl Into<String>, name: impl Into<String>, payload: &impl Serialize) -> SendSignal {
    SendSignal { run_id: run_id.into(), name: name.into(), call: call::Lazy::New(payload::encode(payload)) }
}

/// Returned by [`send_signal`]. Nothing is sent before it is first polled; dropped afterwards, it may or may not be.
#[must_use = "a signal is sent when it is awaited"]
pub struct SendSignal {
    run_id: String,
    name: String,
    call: call::Lazy,
}

impl Future for SendSignal {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let Self { run_id, name, call } = &mut *self;
        call.poll(context, name, |payload| host::signal::send(run_id, name, payload)).map_ok(|_null| ())
    }
}

impl<T: DeserializeOwned> Future for Signal<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { name, call: receiving, .. } = &mut *self;
        let receiving = receiving.get_or_insert_with(|| call::Call::new(host::signal::receive(name)));
        receiving.poll(context).map(|payload| payload::decode(name, &payload?))
    }
}
