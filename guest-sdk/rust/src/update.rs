//! Requests from outside that the workflow answers.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, Result, call, host, payload};

/// Wait for the next update called `name`: a request whose sender waits for the answer.
///
/// Updates wait in the run's inbox as signals do, and each is delivered once. One whose payload is no `T` is answered with
/// `invalid-payload`, and the wait goes on: what outsiders send does not disturb the workflow.
///
/// ```
/// use windlass::{Result, update};
///
/// /// Takes bids until one is high enough.
/// #[windlass::workflow]
/// async fn auction(reserve: u64) -> Result<u64> {
///     let mut highest = 0;
///     while highest < reserve {
///         let bid = update::<u64>("bid").await;
///         if *bid > highest {
///             highest = *bid;
///             bid.answer(&"you lead")?;
///         } else {
///             bid.refuse(windlass::Failure::new("too-low", format!("somebody bids {highest}")));
///         }
///     }
///     Ok(highest)
/// }
/// ```
pub fn update<T>(name: impl Into<String>) -> Receive<T> {
    Receive { name: name.into(), call: None, payload: PhantomData }
}

/// Returned by [`update`]. Dropped before an update came, it takes none with it.
#[must_use = "an update is received when it is awaited"]
pub struct Receive<T> {
    name: String,
    call: Option<call::Call>,
    payload: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Future for Receive<T> {
    type Output = Update<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Update<T>> {
        let Self { name, call: receiving, .. } = &mut *self;
        loop {
            let call = receiving.get_or_insert_with(|| call::Call::new(host::update::receive(name)));
            let Poll::Ready(outcome) = call.poll(context) else { return Poll::Pending };
            let id = call.id();
            *receiving = None;
            match outcome.and_then(|payload| payload::decode(name, &payload)) {
                Ok(request) => return Poll::Ready(Update { call: id, request }),
                Err(failure) => host::update::answer(id, Err(&failure.into_wit())),
            }
        }
    }
}

/// An update that was received: dereferences to what was sent. Dropped without an answer, its sender is told when the run
/// ends that there is none.
#[must_use = "its sender waits for the answer"]
pub struct Update<T> {
    call: u32,
    request: T,
}

impl<T> Update<T> {
    /// Answer it. Its sender gets the answer when that is recorded, exactly one, whatever crashes. Fails with
    /// `invalid-payload` for what JSON cannot say.
    ///
    /// ```
    /// #[windlass::workflow]
    /// async fn echo() -> windlass::Result<()> {
    ///     let update = windlass::update::<String>("echo").await;
    ///     let text = update.clone();
    ///     update.answer(&text)
    /// }
    /// ```
    pub fn answer(self, result: &impl Serialize) -> Result<()> {
        host::update::answer(self.call, Ok(&payload::encode(result)?));
        Ok(())
    }

    /// Answer it with a failure.
    ///
    /// ```
    /// #[windlass::workflow]
    /// async fn never() -> windlass::Result<()> {
    ///     let update = windlass::update::<u32>("money").await;
    ///     update.refuse(windlass::Failure::new("out-of-money", "there is none"));
    ///     Ok(())
    /// }
    /// ```
    pub fn refuse(self, failure: Failure) {
        host::update::answer(self.call, Err(&failure.into_wit()));
    }
}

impl<T> std::ops::Deref for Update<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.request
    }
}
