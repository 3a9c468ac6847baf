//! Waiting for the first of several things.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Which of two came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Either<L, R> {
    /// The first one.
    Left(L),
    /// The second one.
    Right(R),
}

/// Wait for whichever ends first; the other is dropped, which cancels what it waited for. If both can end, the left one
/// does: no chance is involved, so a replay decides the same.
///
/// ```
/// use std::time::Duration;
/// use windlass::{Either, race, signal, sleep};
///
/// #[windlass::workflow]
/// async fn approve() -> windlass::Result<bool> {
///     match race(signal::<bool>("approval"), sleep(Duration::from_secs(60))).await {
///         Either::Left(approved) => approved,
///         Either::Right(()) => Ok(false),
///     }
/// }
/// ```
pub async fn race<L: Future, R: Future>(left: L, right: R) -> Either<L::Output, R::Output> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| {
        if let Poll::Ready(value) = left.as_mut().poll(context) {
            return Poll::Ready(Either::Left(value));
        }
        right.as_mut().poll(context).map(Either::Right)
    })
    .await
}

/// Wait for the first of several futures and go on with its arm; the others are dropped, which cancels what they waited
/// for. If more than one can end, the one that stands first does.
///
/// ```
/// use std::time::Duration;
/// use windlass::{select, signal, sleep};
///
/// #[windlass::workflow]
/// async fn wait() -> windlass::Result<String> {
///     Ok(select! {
///         text = signal::<String>("text") => text?,
///         number = signal::<u32>("number") => number?.to_string(),
///         () = sleep(Duration::from_secs(60)) => "nothing came".to_owned(),
///     })
/// }
/// ```
#[macro_export]
macro_rules! select {
    (@future $future:expr) => { $future };
    (@future $future:expr, $($rest:expr),+) => { $crate::race($future, $crate::select!(@future $($rest),+)) };
    (@arms $value:expr, $pattern:pat => $then:expr) => {{ let $pattern = $value; $then }};
    (@arms $value:expr, $pattern:pat => $then:expr, $($patterns:pat => $thens:expr),+) => {
        match $value {
            $crate::Either::Left($pattern) => $then,
            $crate::Either::Right(rest) => $crate::select!(@arms rest, $($patterns => $thens),+),
        }
    };
    ($($pattern:pat = $future:expr => $then:expr),+ $(,)?) => {
        $crate::select!(@arms $crate::select!(@future $($future),+).await, $($pattern => $then),+)
    };
}
