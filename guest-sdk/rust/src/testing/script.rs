//! What a step or a child does in a test, instead of its own code.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Result, payload};

type Code = dyn FnMut(&[u8]) -> Result<Vec<u8>>;

/// The script of a step or a child, as [`Test::step`](super::Test::step) or [`Test::child`](super::Test::child) made it: it can
/// be changed and asked later.
///
/// ```
/// # #[windlass::workflow]
/// # async fn pay_rent() -> windlass::Result<String> { send_money(700).await }
/// # #[windlass::step]
/// # async fn send_money(euros: u32) -> windlass::Result<String> { Ok(String::new()) }
/// let mut test = windlass::testing::Test::new();
/// let send_money = test.step("send_money", |euros: u32| Ok(format!("sent {euros}")));
/// assert_eq!(test.start(pay_rent, ()).result(), Ok("sent 700".to_owned()));
/// assert_eq!(send_money.attempts(), 1);
/// ```
#[derive(Clone)]
pub struct Script {
    code: Rc<RefCell<Code>>,
    takes: Rc<Cell<Duration>>,
    attempts: Rc<Cell<u32>>,
}

impl Script {
    /// `what`: what it stands for.
    pub(super) fn new<I: DeserializeOwned, O: Serialize>(
        what: &str,
        mut code: impl FnMut(I) -> Result<O> + 'static,
    ) -> Self {
        let what = format!("the input of {what}");
        Self::of(move |input| {
            // A script that takes another type than the step is a mistake of the test, not a failure of the step or child.
            let input = payload::decode(&what, input)
                .unwrap_or_else(|failure| panic!("{failure}: the script takes `{}`", std::any::type_name::<I>()));
            payload::encode(&code(input)?)
        })
    }

    pub(super) fn of_attempts<O: Serialize>(name: &str, results: impl IntoIterator<Item = Result<O>>) -> Self {
        let results: Vec<_> = results.into_iter().map(|result| payload::encode(&result?)).collect();
        let (name, count) = (name.to_owned(), results.len());
        let mut results = results.into_iter();
        Self::of(move |_input| {
            results.next().unwrap_or_else(|| panic!("the script of the step `{name}` ends after {count} attempts"))
        })
    }

    fn of(code: impl FnMut(&[u8]) -> Result<Vec<u8>> + 'static) -> Self {
        Self { code: Rc::new(RefCell::new(code)), takes: Rc::default(), attempts: Rc::default() }
    }

    /// Let each attempt, or each child, from now on take this long; if that is longer than a step may, it fails with `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[windlass::workflow]
    /// # async fn dig() -> windlass::Result<()> { shovel().await }
    /// # #[windlass::step]
    /// # async fn shovel() -> windlass::Result<()> { Ok(()) }
    /// let mut test = windlass::testing::Test::new();
    /// test.step("shovel", |()| Ok(())).takes(Duration::from_secs(30));
    /// let mut run = test.start(dig, ());
    /// run.advance(Duration::from_secs(29));
    /// assert_eq!(run.waits_for().len(), 1);
    /// ```
    pub fn takes(&self, duration: Duration) -> &Self {
        self.takes.set(duration);
        self
    }

    /// How many attempts, or how many children, have begun.
    ///
    /// ```
    /// # #[windlass::step]
    /// # async fn never_called() -> windlass::Result<()> { Ok(()) }
    /// let mut test = windlass::testing::Test::new();
    /// assert_eq!(test.step("never_called", |()| Ok(())).attempts(), 0);
    /// ```
    pub fn attempts(&self) -> u32 {
        self.attempts.get()
    }

    /// One attempt: how it ends, and how long it takes.
    pub(super) fn run(&self, input: &[u8]) -> (Result<Vec<u8>>, Duration) {
        self.attempts.set(self.attempts.get() + 1);
        let takes = self.takes.get();
        ((self.code.borrow_mut())(input), takes)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("takes", &self.takes).field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
