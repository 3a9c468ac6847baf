//! The cursor over a run's history: the same code answers a guest that replays and one that is live.

use std::collections::BTreeMap;

use super::Divergence;
use crate::model::{Ask, Call, CallId, CancelReason, Event, EventKind, Origin, Outcome, Timestamp};

/// How far a guest has come. Cost per call and per event: a look-up among the calls that are open, whatever the length of
/// the history.
#[derive(Clone, Debug)]
pub struct Replay {
    next_call: CallId,
    next_seq: u32,
    now: Timestamp,
    open: BTreeMap<CallId, Call>,
    open_max: usize,
    cancel_requested: Option<CancelReason>,
    stop_at: Option<CallId>,
}

/// Something that happened and that the guest has not seen yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// A call ended.
    Completed {
        /// Which.
        call: CallId,
        /// How.
        outcome: Outcome,
        /// For a step: the attempt that it ended with.
        attempt: u32,
        /// For what came as a letter: its row in the inbox.
        inbox: Option<i64>,
    },
    /// The run is asked to stop.
    CancelRequested {
        /// Why.
        reason: CancelReason,
        /// Its row in the inbox, if it came as a letter.
        inbox: Option<i64>,
    },
}

impl Delivery {
    /// The call that it answers.
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::Completed { call, .. } => Some(*call),
            Self::CancelRequested { .. } => None,
        }
    }

    /// The row in the inbox that it came from.
    pub fn inbox(&self) -> Option<i64> {
        match self {
            Self::Completed { inbox, .. } | Self::CancelRequested { inbox, .. } => *inbox,
        }
    }
}

/// Why a call cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Too many are open.
    #[error("{0} calls are open, and no more may be (open_calls)")]
    TooManyOpen(usize),
    /// The run has used up the numbers.
    #[error("the run has made as many calls as a run can make")]
    TooManyInAll,
    /// See [`Replay::stop_at`].
    #[error("the guest is stopped where it makes this call")]
    Stopped,
}

impl Replay {
    /// At the beginning of a history; at most `open_max` calls may be open at once.
    pub fn new(origin: Origin, open_max: usize) -> Self {
        let Origin { seq, call, at, told, .. } = origin;
        Self {
            next_call: call,
            next_seq: seq,
            now: at,
            open: BTreeMap::new(),
            open_max,
            cancel_requested: told,
            stop_at: None,
        }
    }

    /// From now on this many calls may be open at once.
    pub fn set_open_max(&mut self, open_max: usize) {
        self.open_max = open_max;
    }

    /// The guest asks: the call gets its number.
    pub fn ask(&mut self, ask: Ask) -> Result<CallId, AskError> {
        if self.open.len() >= self.open_max {
            return Err(AskError::TooManyOpen(self.open_max));
        }
        let id = self.next_call;
        if self.stop_at == Some(id) {
            return Err(AskError::Stopped);
        }
        // The database keeps it as a signed number.
        self.next_call = id.checked_add(1).filter(|next| i32::try_from(*next).is_ok()).ok_or(AskError::TooManyInAll)?;
        self.open.insert(id, Call { id, asked_at: self.now, ask });
        Ok(id)
    }

    /// The call of this number is refused: whoever looks into a divergence sees where the guest makes it.
    pub fn stop_at(&mut self, call: CallId) {
        self.stop_at = Some(call);
    }

    /// The guest no longer wants the outcome. `None`: it had it, or never asked.
    pub fn cancel(&mut self, id: CallId) -> Option<Call> {
        self.open.remove(&id)
    }

    /// The event that a delivery becomes if it is the next one, at `time` or later: not before the last event, nor before a
    /// timer is due. `None` if the guest no longer wants it.
    pub fn event(&self, delivery: Delivery, time: Timestamp) -> Option<Event> {
        let mut at = time.max(self.now);
        let kind = match delivery {
            Delivery::Completed { call, outcome, attempt, inbox } => {
                let call = self.open.get(&call)?.clone();
                at = at.max(call.due().unwrap_or_default());
                EventKind::Completed { call, outcome, attempt, inbox }
            }
            Delivery::CancelRequested { reason, inbox } if self.cancel_requested.is_none() => {
                EventKind::CancelRequested { reason, inbox }
            }
            Delivery::CancelRequested { .. } => return None,
        };
        Some(Event { seq: self.next_seq, at, kind })
    }

    /// Deliver an event: one of the history again, or one that [`event`](Self::event) has just made.
    pub fn deliver(&mut self, event: &Event) -> Result<(), Box<Divergence>> {
        debug_assert_eq!(event.seq, self.next_seq, "history comes in order, without gaps");
        match &event.kind {
            EventKind::Completed { call: recorded, .. } => {
                let actual = self.open.get(&recorded.id);
                if !actual.is_some_and(|actual| actual.ask.is_same_as(&recorded.ask)) {
                    return Err(Box::new(Divergence::between(event, actual)));
                }
                self.open.remove(&recorded.id);
            }
            EventKind::CancelRequested { reason, .. } => self.cancel_requested = Some(*reason),
        }
        self.next_seq += 1;
        self.now = event.at;
        Ok(())
    }

    /// The run's own time: of the event that was delivered last.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The number that the next event has.
    pub fn next_seq(&self) -> u32 {
        self.next_seq
    }

    /// The number that the next call has.
    pub fn next_call(&self) -> CallId {
        self.next_call
    }

    /// The calls without an outcome whose number is `first` or more, in order.
    pub fn open_from(&self, first: CallId) -> impl Iterator<Item = &Call> {
        self.open.range(first..).map(|(_, call)| call)
    }

    /// Whether the guest was told to stop, and why.
    pub fn cancel_requested(&self) -> Option<CancelReason> {
        self.cancel_requested
    }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
