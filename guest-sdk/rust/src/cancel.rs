//! Cancellation scopes: which part of a workflow stops when the run is asked to.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

pub use crate::bindings::windlass::workflow::event::CancelReason;
use crate::{Failure, Result};

/// A scope: what runs in `future` stops when the run is asked to stop, and the code around it goes on and can clean up.
///
/// The whole workflow is the outermost scope. A request reaches the *innermost* scopes that are running: each drops its
/// future at the await where it is, which runs its destructors and cancels its calls, and ends with the failure
/// `cancelled`. Scopes around them are not interrupted any more, nor are scopes that begin in those later: the request
/// comes once. A workflow that ends with the code `cancelled` after it is a cancelled run.
///
/// Gives what the future gave, in an `Ok`: if that is a result itself, the two are made one by
/// [`flatten`](std::result::Result::flatten).
///
/// ```
/// use windlass::{Result, cancellable, signal};
///
/// #[windlass::workflow]
/// async fn rent(car: String) -> Result<String> {
///     match cancellable(signal::<String>("returned")).await.flatten() {
///         Ok(place) => Ok(place),
///         Err(failure) => {
///             call_back(&car).await?;
///             Err(failure)
///         }
///     }
/// }
///
/// #[windlass::step]
/// async fn call_back(car: &str) -> Result<()> {
///     Ok(())
/// }
///
/// let test = windlass::testing::Test::new();
/// let mut run = test.start(rent, "beetle");
/// run.cancel();
/// assert_eq!(run.result().unwrap_err().code, "cancelled");
/// assert_eq!(run.history().of("call_back").len(), 1);
/// ```
pub async fn cancellable<F: Future>(future: F) -> Result<F::Output> {
    let scope = Running::begin(Kind::Cancellable);
    let mut future = pin!(future);
    poll_fn(|context| {
        if !scope.is_interrupted() {
            if let Poll::Ready(value) = scope.poll(future.as_mut(), context) {
                return Poll::Ready(Ok(value));
            }
            scope.catch_up();
        }
        if scope.is_interrupted() { Poll::Ready(Err(cancelled())) } else { Poll::Pending }
    })
    .await
}

/// What runs in `future` is not interrupted when the run is asked to stop. A request that comes meanwhile takes effect in
/// the scope around the shield as soon as that waits for something after it.
///
/// ```
/// use windlass::{Result, shield};
///
/// #[windlass::workflow]
/// async fn transfer(cents: u64) -> Result<()> {
///     shield(async {
///         withdraw(cents).await?;
///         deposit(cents).await
///     })
///     .await
/// }
///
/// #[windlass::step]
/// async fn withdraw(cents: u64) -> Result<()> {
///     Ok(())
/// }
///
/// #[windlass::step]
/// async fn deposit(cents: u64) -> Result<()> {
///     Ok(())
/// }
/// ```
pub async fn shield<F: Future>(future: F) -> F::Output {
    // A request that another shield held up comes first: one shield after the other would hold it up for ever.
    poll_fn(|_| {
        let is_owed = SCOPES.with_borrow(|scopes| scopes.current.request.get() == Request::Owed);
        if is_owed { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    shield_at_once(future).await
}

/// A shield for what must happen, even if a request is held up by another shield.
pub(crate) async fn shield_at_once<F: Future>(future: F) -> F::Output {
    let scope = Running::begin(Kind::Shield);
    let mut future = pin!(future);
    poll_fn(|context| scope.poll(future.as_mut(), context)).await
}

/// Whether the run has been asked to stop, by the events that it has seen so far; inside a [`shield`] as well.
///
/// ```
/// use std::time::Duration;
///
/// #[windlass::workflow]
/// async fn sell(mut lots: u32) -> windlass::Result<u32> {
///     windlass::shield(async {
///         while lots > 0 && !windlass::cancel_requested() {
///             windlass::sleep(Duration::from_secs(3600)).await;
///             lots -= 1;
///         }
///     })
///     .await;
///     Ok(lots)
/// }
/// ```
pub fn cancel_requested() -> bool {
    cancel_reason().is_some()
}

/// Why the run has been asked to stop, if it has.
///
/// ```
/// #[windlass::workflow]
/// async fn wait() -> windlass::Result<bool> {
///     let waited = windlass::cancellable(windlass::signal::<()>("go")).await;
///     Ok(waited.is_err() && windlass::cancel_reason() == Some(windlass::CancelReason::Deadline))
/// }
/// ```
pub fn cancel_reason() -> Option<CancelReason> {
    SCOPES.with_borrow(|scopes| scopes.requested)
}

/// The run is asked to stop.
pub(crate) fn request(reason: CancelReason) {
    let outermost = SCOPES.with_borrow_mut(|scopes| {
        scopes.requested = Some(reason);
        scopes.current.clone()
    });
    outermost.interrupt();
}

/// What an interrupted scope ends with.
fn cancelled() -> Failure {
    let failure = match cancel_reason() {
        Some(CancelReason::Deadline) => Failure::new("deadline-exceeded", "the run has not ended before its deadline"),
        Some(CancelReason::ParentClosed) => {
            Failure::new("cancelled", "the run that started this one has no use for it")
        }
        _ => Failure::new("cancelled", "the run was asked to stop"),
    };
    failure.fatal()
}

/// The scopes of a run: a tree, whose leaves a request interrupts.
pub(crate) struct Scopes {
    /// The scope that is being polled; between polls the root, which stands for no scope.
    current: Rc<Scope>,
    requested: Option<CancelReason>,
}

thread_local! {
    static SCOPES: RefCell<Scopes> = RefCell::default();
}

impl Default for Scopes {
    fn default() -> Self {
        let root = Scope::new(Kind::Cancellable, None);
        root.over.set(true);
        Self { current: Rc::new(root), requested: None }
    }
}

#[cfg(not(target_family = "wasm"))]
impl Scopes {
    /// Change over to another run, or back.
    pub(crate) fn swap(&mut self) {
        SCOPES.with_borrow_mut(|scopes| std::mem::swap(scopes, self));
    }
}

#[derive(PartialEq)]
enum Kind {
    Cancellable,
    Shield,
}

/// What a request means to a scope.
#[derive(Clone, Copy, PartialEq)]
enum Request {
    /// Nothing: it has not come, or it was for others.
    None,
    /// It waits for a shield further in.
    Owed,
    /// It is for this scope.
    Taken,
}

/// Who takes a request; what stands later prevails.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Nobody,
    Later,
    Taken,
}

struct Scope {
    kind: Kind,
    around: Option<Rc<Scope>>,
    /// Those that began in it.
    within: RefCell<Vec<Weak<Scope>>>,
    /// Its own index in the list of the scope around it.
    place: Cell<usize>,
    /// Its future has ended or was dropped. Scopes that began in it may live on elsewhere, and keep it in the tree.
    over: Cell<bool>,
    request: Cell<Request>,
    waker: RefCell<Waker>,
}

impl Scope {
    fn new(kind: Kind, around: Option<Rc<Self>>) -> Self {
        Self {
            kind,
            around,
            within: RefCell::default(),
            place: Cell::new(0),
            over: Cell::new(false),
            request: Cell::new(Request::None),
            waker: RefCell::new(Waker::noop().clone()),
        }
    }

    /// Give the request to the innermost scopes in here, unless a shield holds it up.
    fn interrupt(&self) -> Answer {
        let over = self.over.get();
        if self.kind == Kind::Shield && !over {
            return Answer::Later;
        }
        let within = self.within.borrow();
        let answers = within.iter().filter_map(Weak::upgrade).map(|scope| scope.interrupt());
        let mut answer = answers.max().unwrap_or(Answer::Nobody);
        if answer == Answer::Nobody && !over {
            answer = Answer::Taken;
            self.request.set(Request::Taken);
            self.wake();
        } else {
            self.request.set(if answer == Answer::Later { Request::Owed } else { Request::None });
        }
        answer
    }

    fn wake(&self) {
        self.waker.borrow().wake_by_ref();
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let Some(around) = &self.around else { return };
        let mut within = around.within.borrow_mut();
        within.swap_remove(self.place.get());
        if let Some(moved) = within.get(self.place.get()).and_then(Weak::upgrade) {
            moved.place.set(self.place.get());
        }
    }
}

/// A scope whose future is there. Dropped with it, finished or not.
struct Running(Rc<Scope>);

impl Running {
    fn begin(kind: Kind) -> Self {
        let around = SCOPES.with_borrow(|scopes| scopes.current.clone());
        let scope = Rc::new(Scope::new(kind, Some(around.clone())));
        let mut within = around.within.borrow_mut();
        scope.place.set(within.len());
        within.push(Rc::downgrade(&scope));
        drop(within);
        Self(scope)
    }

    /// Poll its future: scopes that begin meanwhile are within it.
    fn poll<F: Future>(&self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.waker.borrow_mut().clone_from(context.waker());
        let _entered = Entered::new(self.0.clone());
        future.poll(context)
    }

    fn is_interrupted(&self) -> bool {
        self.0.request.get() == Request::Taken
    }

    /// A request that a shield held up is given now, if the shield is over.
    fn catch_up(&self) {
        if self.0.request.get() != Request::Owed || self.0.interrupt() != Answer::Taken {
            return;
        }
        // Taken in here: the scopes around that waited for the same shield have nothing to wait for.
        let mut around = self.0.around.as_ref();
        while let Some(scope) = around {
            if scope.request.get() == Request::Owed {
                scope.request.set(Request::None);
            }
            around = scope.around.as_ref();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.over.set(true);
        // Whoever owes a request to what is around the shield looks again, even if it was not the one to poll it.
        if let Some(around) = self.0.around.as_ref().filter(|around| around.request.get() == Request::Owed) {
            around.wake();
        }
    }
}

/// While it is there, its scope is the current one.
struct Entered(Rc<Scope>);

impl Entered {
    fn new(scope: Rc<Scope>) -> Self {
        Self(SCOPES.with_borrow_mut(|scopes| std::mem::replace(&mut scopes.current, scope)))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        SCOPES.with_borrow_mut(|scopes| std::mem::swap(&mut scopes.current, &mut self.0));
    }
}
