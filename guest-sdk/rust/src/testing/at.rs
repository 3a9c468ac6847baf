//! What comes from outside, and when.

use serde::Serialize;

use super::agenda::Entry;
use super::{Test, run};
use crate::CancelReason;

/// A time after the start of a run; made by [`Test::at`].
#[must_use = "say what comes then"]
pub struct At<'a> {
    pub(super) test: &'a mut Test,
    pub(super) after: u64,
}

impl<'a> At<'a> {
    /// A signal comes, unless the run has ended.
    #[track_caller]
    pub fn signal(self, name: &str, value: impl Serialize) -> &'a mut Test {
        let letter = run::letter(name, &value, None);
        self.plan(move || Entry::Letter(letter.clone()))
    }

    /// The run is asked to stop, unless it has ended.
    pub fn cancel(self) -> &'a mut Test {
        self.plan(|| Entry::Cancel(CancelReason::Requested))
    }

    fn plan(self, entry: impl Fn() -> Entry + 'static) -> &'a mut Test {
        self.test.planned.push((self.after, Box::new(entry)));
        self.test
    }
}
