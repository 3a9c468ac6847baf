//! What an update comes to.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::inbox::{Fate, Slot};
use crate::Result;

/// Whether and how the workflow has answered an update: [`Run::update`](super::Run::update) gives one. It may be answered later,
/// when the run goes on.
pub struct Answer<R> {
    name: String,
    slot: Slot,
    value: PhantomData<fn() -> R>,
}

impl<R> Answer<R> {
    pub(super) fn new(name: &str, slot: Slot) -> Self {
        Self { name: name.to_owned(), slot, value: PhantomData }
    }

    /// Whether it is there.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// #[windlass::workflow]
    /// async fn slow_shop() -> windlass::Result<()> {
    ///     let order = windlass::update::<String>("order").await;
    ///     windlass::sleep(Duration::from_secs(60)).await;
    ///     order.answer(&"here you are")
    /// }
    ///
    /// let mut run = windlass::testing::Test::new().start(slow_shop, ());
    /// let answer = run.update::<String>("order", "tea");
    /// assert!(!answer.is_given());
    /// run.advance(Duration::from_secs(60));
    /// assert_eq!(answer.result(), Ok("here you are".to_owned()));
    /// ```
    pub fn is_given(&self) -> bool {
        matches!(*self.slot.borrow(), Fate::Answered(_))
    }

    /// The answer.
    ///
    /// # Panics
    ///
    /// If there is none so far; the message says what became of the update. If the answer is no `R`.
    ///
    /// ```should_panic
    /// # #[windlass::workflow]
    /// # async fn turn_a_deaf_ear() -> windlass::Result<()> { windlass::signal("never").await }
    /// let mut run = windlass::testing::Test::new().start(turn_a_deaf_ear, ());
    /// run.update::<()>("request", "please").result().unwrap(); // … the workflow has not asked for it
    /// ```
    #[track_caller]
    pub fn result(&self) -> Result<R>
    where
        R: DeserializeOwned,
    {
        let (name, fate) = (&self.name, self.slot.borrow().clone());
        let answer = match fate {
            Fate::Answered(answer) => answer?,
            Fate::Waits => panic!("the update `{name}` is not answered: the workflow has not asked for it"),
            Fate::Delivered(call) => {
                panic!(
                    "the update `{name}` is not answered: the workflow got it as call {call} and goes on without a word"
                )
            }
            Fate::Lost => {
                panic!("the update `{name}` was never answered: the run ended, or began again, without a word")
            }
        };
        match serde_json::from_value(answer) {
            Ok(value) => Ok(value),
            Err(error) => panic!("the answer to `{name}` is no `{}`: {error}", std::any::type_name::<R>()),
        }
    }
}

impl<R> fmt::Debug for Answer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("name", &self.name).field("fate", &self.slot.borrow()).finish()
    }
}
