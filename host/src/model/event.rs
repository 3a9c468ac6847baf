//! What history keeps.

use super::{Call, CancelReason, Failure, Payload, Timestamp};

/// One entry of a run's history, in the order in which it was delivered to the guest.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its number: 0, 1, 2, … without gaps.
    pub seq: u32,
    /// The run's own time from here on.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "all but one event of a run are of the large kind")]
pub enum EventKind {
    /// A call ended.
    Completed {
        /// The call as it was asked.
        call: Call,
        /// How it ended.
        outcome: Outcome,
        /// For a step: the attempt that it ended with.
        attempt: u32,
        /// For what came as a letter: its row in the inbox, which goes when the event comes.
        inbox: Option<i64>,
    },
    /// The run was asked to stop.
    CancelRequested {
        /// Why.
        reason: CancelReason,
        /// Its row in the inbox.
        inbox: Option<i64>,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// With its result.
    Ok(Payload),
    /// With the reason.
    Failed(Failure),
}
