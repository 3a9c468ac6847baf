//! Messages from outside.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

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

impl<T: DeserializeOwned> Future for Signal<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { name, call: receiving, .. } = &mut *self;
        let receiving = receiving.get_or_insert_with(|| call::Call::new(host::signal::receive(name)));
        receiving.poll(context).map(|payload| payload::decode(name, &payload?))
    }
}
