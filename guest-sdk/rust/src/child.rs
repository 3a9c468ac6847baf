//! Runs that a run starts.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bindings::windlass::workflow::child::{Options, ParentClose};
use crate::{Result, call, host, payload};

/// Start a run of `workflow`, of this component or another of the namespace, and wait for its result.
///
/// Each call starts exactly one child, whatever crashes; it is a run like any other, on any host, of the newest version. Fails
/// with the child's failure, or with `unknown-workflow`. Dropped before the child has ended, it asks the child to stop, unless
/// it is to be [abandoned](Child::abandon).
///
/// ```
/// use windlass::{Result, child, join_all};
///
/// #[windlass::workflow]
/// async fn year(months: Vec<u32>) -> Result<u64> {
///     let children = months.iter().map(|month| child::<u64>("month", month));
///     let sums: Result<Vec<_>> = join_all(children).await.into_iter().collect();
///     Ok(sums?.iter().sum())
/// }
/// ```
pub fn child<T>(workflow: impl Into<String>, input: &impl Serialize) -> Child<T> {
    let options = Options { parent_close: ParentClose::Cancel, detached: false };
    Child { workflow: workflow.into(), options, call: call::Lazy::New(payload::encode(input)), result: PhantomData }
}

/// Returned by [`child`]: await it for the child's result. Nothing happens before it is first polled or asked for its id.
#[must_use = "a child is started when it is awaited, or asked for its id"]
pub struct Child<T> {
    workflow: String,
    options: Options,
    call: call::Lazy,
    result: PhantomData<fn() -> T>,
}

impl<T> Child<T> {
    /// The child goes on when its parent ends, continues as new, or no longer waits for it.
    ///
    /// ```
    /// #[windlass::workflow]
    /// async fn quick() -> windlass::Result<Option<u64>> {
    ///     let sum = windlass::child::<u64>("sum", &[1, 2, 3]).abandon();
    ///     Ok(match windlass::race(sum, windlass::sleep(std::time::Duration::from_secs(5))).await {
    ///         windlass::Either::Left(sum) => Some(sum?),
    ///         // It is summed up all the same.
    ///         windlass::Either::Right(()) => None,
    ///     })
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If it was started, by [`run_id`](Self::run_id), before this was said.
    pub fn abandon(mut self) -> Self {
        self.check_new("abandon");
        self.options.parent_close = ParentClose::Abandon;
        self
    }

    /// Start it if it was not, and give the id of its run: to send it signals, or to tell somebody.
    ///
    /// ```
    /// #[windlass::workflow]
    /// async fn ping() -> windlass::Result<String> {
    ///     let mut pong = windlass::child::<String>("pong", &());
    ///     let id = pong.run_id()?;
    ///     windlass::send_signal(&id, "ball", &1).await?;
    ///     pong.await
    /// }
    /// ```
    pub fn run_id(&mut self) -> Result<String> {
        let Self { workflow, options, call, .. } = self;
        match call.start(|input| host::child::start(workflow, input, *options))? {
            Some(call) => Ok(host::child::run_id(call.id())),
            None => panic!("the child `{workflow}` was asked for its id after its result was taken"),
        }
    }

    /// Start it, and do not wait for its end: it goes on whatever its parent does. Gives the id of its run when it is accepted.
    ///
    /// ```
    /// #[windlass::workflow]
    /// async fn sign_up(user: String) -> windlass::Result<String> {
    ///     windlass::child::<()>("send-newsletters", &user).detach().await
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If it was started, by [`run_id`](Self::run_id), before this was said.
    pub async fn detach(mut self) -> Result<String> {
        self.check_new("detach");
        self.options.detached = true;
        self.options.parent_close = ParentClose::Abandon;
        let run_id = self.run_id()?;
        std::future::poll_fn(|context| self.poll_payload(context)).await?;
        Ok(run_id)
    }

    /// How a child hangs together with its parent is settled when it is started.
    fn check_new(&self, method: &str) {
        let workflow = &self.workflow;
        assert!(self.call.is_new(), "the child `{workflow}` was started before `{method}` was called");
    }

    fn poll_payload(&mut self, context: &Context<'_>) -> Poll<Result<Vec<u8>>> {
        let Self { workflow, options, call, .. } = self;
        call.poll(context, workflow, |input| host::child::start(workflow, input, *options))
    }
}

impl<T: DeserializeOwned> Future for Child<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(result) = self.poll_payload(context) else { return Poll::Pending };
        Poll::Ready(result.and_then(|payload| payload::decode(&self.workflow, &payload)))
    }
}
