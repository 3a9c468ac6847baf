//! What came for a run and was not asked for yet.

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::Value;

use super::limits;
use crate::Result;

/// A signal or an update on its way.
#[derive(Clone)]
pub(super) struct Letter {
    pub(super) name: String,
    pub(super) payload: Vec<u8>,
    /// Of an update: where its sender looks for the answer.
    pub(super) update: Option<Slot>,
}

/// What has become of an update.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Fate {
    /// The workflow has not asked for it.
    #[default]
    Waits,
    /// It was delivered to this call.
    Delivered(u32),
    /// The run ended, or began again, without an answer.
    Lost,
    /// It has its answer.
    Answered(Result<Value>),
}

/// Shared by the sender of an update and the run.
pub(super) type Slot = Rc<RefCell<Fate>>;

/// In the order in which they came.
#[derive(Default)]
pub(super) struct Inbox(Vec<Letter>);

impl Inbox {
    pub(super) fn put(&mut self, letter: Letter) {
        self.0.push(letter);
    }

    /// Whether it takes no more.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= limits::LETTERS
    }

    /// Take the first letter that a call waits for, and say which call that is.
    pub(super) fn take(&mut self, receiver: impl Fn(&Letter) -> Option<u32>) -> Option<(u32, Letter)> {
        let found = self.0.iter().enumerate().find_map(|(place, letter)| Some((place, receiver(letter)?)));
        let (place, call) = found?;
        Some((call, self.0.remove(place)))
    }

    /// The run has ended: what is here is never asked for.
    pub(super) fn close(&mut self) {
        for update in self.0.drain(..).filter_map(|letter| letter.update) {
            update.replace(Fate::Lost);
        }
    }
}
