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

impl Event {
    /// The number that is missing first among these, which are to be a history from number `first` on; none if they are one.
    pub fn gap(first: u32, events: &[Self]) -> Option<u32> {
        // The database keeps them as signed numbers.
        let is_number = |number: u64| i32::try_from(number).is_ok();
        events.iter().zip(u64::from(first)..).find_map(|(event, number)| {
            let is_there = u64::from(event.seq) == number && is_number(number);
            (!is_there).then(|| u32::try_from(number).unwrap_or(event.seq))
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn events(numbers: impl IntoIterator<Item = u32>) -> Vec<Event> {
        let kind = || EventKind::CancelRequested { reason: CancelReason::Requested, inbox: None };
        numbers.into_iter().map(|seq| Event { seq, at: Timestamp::default(), kind: kind() }).collect()
    }

    #[test]
    fn a_history_counts_on_from_its_beginning_and_what_is_missing_is_named() {
        assert_eq!(Event::gap(0, &[]), None);
        assert_eq!(Event::gap(7, &events([7, 8, 9])), None);
        assert_eq!(Event::gap(7, &events([8, 9])), Some(7));
        assert_eq!(Event::gap(7, &events([7, 9])), Some(8));
        assert_eq!(Event::gap(7, &events([7, 8, 8])), Some(9), "one is there twice");
        assert_eq!(Event::gap(7, &events([9, 8, 7])), Some(7), "in another order");
    }

    #[test]
    fn numbers_end_where_those_of_the_database_do() {
        let last = i32::MAX.unsigned_abs();
        assert_eq!(Event::gap(last, &events([last])), None);
        assert_eq!(Event::gap(last, &events([last, last + 1])), Some(last + 1));
        assert_eq!(Event::gap(u32::MAX, &events([u32::MAX])), Some(u32::MAX));
    }
}
