//! Waiting for time to pass.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::{call, host};

/// Wait, durably: the run holds no memory meanwhile, and goes on after any crash, never before its time.
///
/// The wait is counted from [`now`](crate::now) at the moment of the first poll.
///
/// ```
/// use std::time::Duration;
///
/// #[windlass::workflow]
/// async fn remind(text: String) -> windlass::Result<String> {
///     windlass::sleep(Duration::from_secs(7 * 24 * 60 * 60)).await;
///     Ok(text)
/// }
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { state: State::New(duration) }
}

/// Returned by [`sleep`]. Dropped before its time, the timer goes away.
#[must_use = "a sleep waits when it is awaited"]
pub struct Sleep {
    state: State,
}

enum State {
    New(Duration),
    Open(call::Call),
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let State::New(duration) = self.state {
            self.state = State::Open(call::Call::new(host::timer::sleep(micros(duration))));
        }
        match &mut self.state {
            State::New(_) => Poll::Pending,
            State::Open(call) => call.poll(context).map(|_null| ()),
        }
    }
}

/// In the unit of the WIT; what is longer than it can say is cut there, and refused by the host.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
