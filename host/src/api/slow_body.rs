//! The body of a request, which may come slowly, but not as slowly as the client likes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::limits::SLOWEST;

/// A body that ends with [`BodyError::TooSlow`] when nothing comes for long, or too little in all.
pub(super) struct SlowBody {
    body: Incoming,
    timeout: Duration,
    /// Made when the host first has to wait: most bodies come with their head.
    wait: Option<Wait>,
}

struct Wait {
    begun: Instant,
    received: u64,
    until: Pin<Box<Sleep>>,
}

/// Why a body is not read to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The client keeps the host waiting.
    #[error("it came too slowly: nothing for {0:?}, or less than {SLOWEST} bytes a second in all")]
    TooSlow(Duration),
    /// The connection.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl SlowBody {
    pub(super) fn new(body: Incoming, timeout: Duration) -> Self {
        Self { body, timeout, wait: None }
    }
}

impl Wait {
    fn new(timeout: Duration) -> Self {
        let begun = Instant::now();
        Self { begun, received: 0, until: Box::pin(sleep_until(begun + timeout)) }
    }

    /// Something has come: the time for the next begins anew, as long as it is fast enough in all.
    fn goes_on(&mut self, bytes: usize, timeout: Duration) {
        self.received += bytes as u64;
        let in_all = self.begun + timeout + Duration::from_millis(self.received * 1_000 / SLOWEST);
        self.until.as_mut().reset(in_all.min(Instant::now() + timeout));
    }
}

impl Body for SlowBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let timeout = this.timeout;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            if let (Some(wait), Some(Ok(frame))) = (&mut this.wait, &frame) {
                wait.goes_on(frame.data_ref().map_or(0, |data| data.remaining()), timeout);
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
        }
        let wait = this.wait.get_or_insert_with(|| Wait::new(timeout));
        wait.until.as_mut().poll(context).map(|()| Some(Err(BodyError::TooSlow(timeout))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether an error, or what led to it, is a body that came too slowly.
pub(super) fn is_too_slow(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.into_iter().any(|error| matches!(error.downcast_ref(), Some(BodyError::TooSlow(_))))
}
