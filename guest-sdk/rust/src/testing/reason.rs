//! Why a run is asked to stop, as history and API say it.

use crate::CancelReason;

const ALL: [CancelReason; 3] = [CancelReason::Requested, CancelReason::Deadline, CancelReason::ParentClosed];

pub(super) fn name(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Requested => "requested",
        CancelReason::Deadline => "deadline",
        CancelReason::ParentClosed => "parent-closed",
    }
}

/// The reason with this name.
pub(super) fn named(text: &str) -> Option<CancelReason> {
    ALL.into_iter().find(|reason| name(*reason) == text)
}
