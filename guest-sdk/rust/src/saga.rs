//! Sagas: several steps of which all happen or, as far as it can be undone, none.

use std::any::Any;
use std::cell::RefCell;
use std::pin::Pin;

use serde::Serialize;

use crate::cancel::shield_at_once;
use crate::step::StepCall;
use crate::{Failure, Result, cancellable};

/// Do what `body` does; if it fails, undo what it had done.
///
/// For each thing that may have to be undone, the body says how, with [`Saga::compensate`]: afterwards, if what undoes it needs
/// its result; else before, because a step that is interrupted may have happened all the same. If it ends with a failure, or
/// the run is asked to stop while it runs, the compensations are run in reverse order, one after the other, in a
/// [`shield`](crate::shield()), and the saga ends with the body's failure. The body is a [`cancellable`] scope.
///
/// A compensation that fails does not keep the others from being run. The saga then ends with the failure
/// `compensation-failed`: its message says what failed, and its details have the failure of the body as `failure`, and
/// those of the compensations as `compensations`.
///
/// A saga that is dropped, say because it lost a [`race`](crate::race()), undoes nothing: nobody waits for it.
///
/// ```
/// use windlass::{Failure, Result, saga};
///
/// #[windlass::workflow]
/// async fn travel(to: String) -> Result<String> {
///     saga(async |saga| {
///         let flight = book_flight(&to).await?;
///         saga.compensate(cancel_flight(&flight));
///         let room = book_room(&to).await?;
///         Ok(format!("{flight}, {room}"))
///     })
///     .await
/// }
///
/// #[windlass::step]
/// async fn book_flight(to: &str) -> Result<String> {
///     Ok(format!("flight to {to}"))
/// }
///
/// #[windlass::step]
/// async fn cancel_flight(flight: &str) -> Result<()> {
///     Ok(())
/// }
///
/// #[windlass::step]
/// async fn book_room(to: &str) -> Result<String> {
///     Err(Failure::new("booked-out", "no room is left").fatal())
/// }
///
/// let mut run = windlass::testing::Test::new().start(travel, "Oslo");
/// assert_eq!(run.result().unwrap_err().code, "booked-out");
/// assert_eq!(run.history().of("cancel_flight")[0].input, "flight to Oslo");
/// ```
pub async fn saga<T>(body: impl AsyncFnOnce(&Saga) -> Result<T>) -> Result<T> {
    let saga = Saga { compensations: RefCell::default() };
    match cancellable(body(&saga)).await.flatten() {
        Ok(value) => Ok(value),
        Err(failure) => Err(shield_at_once(saga.undo(failure)).await),
    }
}

/// What the body of a [`saga()`] gets, to say how things are undone.
pub struct Saga {
    compensations: RefCell<Vec<Compensation>>,
}

struct Compensation {
    /// Of the step that it calls, if it is no more than that.
    step: Option<&'static str>,
    future: Pin<Box<dyn Future<Output = Result<()>>>>,
}

/// A compensation that failed, as it stands in the details of `compensation-failed`.
#[derive(Serialize)]
struct Failed {
    /// 1 for the one that was registered first.
    compensation: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'static str>,
    failure: Failure,
}

/// The details of `compensation-failed`.
#[derive(Serialize)]
struct Details {
    failure: Failure,
    compensations: Vec<Failed>,
}

impl Saga {
    /// If the saga fails from here on, run `future` to undo what was done: a call of a step, or any other future.
    ///
    /// Nothing of it runs before, and nothing at all if the saga succeeds.
    ///
    /// ```
    /// use windlass::{Result, saga};
    ///
    /// #[windlass::workflow]
    /// async fn order(item: String) -> Result<()> {
    ///     saga(async |saga| {
    ///         hold(&item).await?;
    ///         saga.compensate(release(&item));
    ///         let name = item.clone();
    ///         saga.compensate(async move {
    ///             windlass::log!(warn, "{name} was not sold");
    ///             Ok(())
    ///         });
    ///         windlass::signal("paid").await
    ///     })
    ///     .await
    /// }
    ///
    /// #[windlass::step]
    /// async fn hold(item: &str) -> Result<()> {
    ///     Ok(())
    /// }
    ///
    /// #[windlass::step]
    /// async fn release(item: &str) -> Result<()> {
    ///     Ok(())
    /// }
    /// ```
    pub fn compensate<T: 'static>(&self, future: impl Future<Output = Result<T>> + 'static) {
        let step = (&future as &dyn Any).downcast_ref::<StepCall<T>>().map(StepCall::name);
        let future = Box::pin(async { future.await.map(drop) });
        self.compensations.borrow_mut().push(Compensation { step, future });
    }

    /// Run the compensations, the last one first. Gives what the saga ends with.
    async fn undo(self, failure: Failure) -> Failure {
        let compensations = self.compensations.into_inner();
        let count = compensations.len();
        let mut failed = Vec::new();
        for (index, Compensation { step, future }) in compensations.into_iter().enumerate().rev() {
            if let Err(failure) = future.await {
                failed.push(Failed { compensation: index + 1, step, failure });
            }
        }
        if failed.is_empty() { failure } else { explain(failure, failed, count) }
    }
}

fn explain(failure: Failure, compensations: Vec<Failed>, count: usize) -> Failure {
    let one = |Failed { compensation, step, failure }: &Failed| {
        let name = step.map_or_else(|| format!("number {compensation}"), |step| format!("step `{step}`"));
        format!("{name} with `{failure}`")
    };
    let all: Vec<_> = compensations.iter().map(one).collect();
    let message = format!("after `{failure}`, {} of {count} compensations failed: {}", all.len(), all.join("; "));
    Failure::new("compensation-failed", message).fatal().with_details(&Details { failure, compensations })
}
