//! Failures: results that say why not.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Payload;

/// Why a step, a call or a run did not succeed. Recorded and replayed like any result; not a trap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word in kebab-case that code can match on.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Anything more that code may want.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<Payload>,
    /// The failure that led to this one, as a document with the fields of this type.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Payload>,
    /// For a step: whether another attempt may help.
    #[serde(default)]
    pub retryable: bool,
}

/// The codes that the host itself makes. `wit/event.wit` tells guests of those that they can see.
pub mod code {
    /// The workflow obeyed a request to stop.
    pub const CANCELLED: &str = "cancelled";
    /// The manifest declares no such step.
    pub const UNKNOWN_STEP: &str = "unknown-step";
    /// The attempt took longer than it may.
    pub const TIMEOUT: &str = "timeout";
    /// The call took longer than it may, all attempts together.
    pub const TOTAL_TIMEOUT: &str = "total-timeout";
    /// A run outlived its deadline.
    pub const DEADLINE_EXCEEDED: &str = "deadline-exceeded";
    /// Somebody ended the run from outside.
    pub const TERMINATED: &str = "terminated";
    /// A signal was sent to a run that is not there.
    pub const NO_SUCH_RUN: &str = "no-such-run";
    /// A signal was sent to a run that has ended.
    pub const RUN_ENDED: &str = "run-ended";
    /// A signal was sent to a run that has too many.
    pub const INBOX_FULL: &str = "inbox-full";
    /// The attempt crashed.
    pub const STEP_TRAP: &str = "step-trap";
    /// A payload is no JSON document.
    pub const INVALID_PAYLOAD: &str = "invalid-payload";
    /// A payload is too long.
    pub const PAYLOAD_TOO_LARGE: &str = "payload-too-large";
}

impl Failure {
    /// Longest message in bytes; what is longer is cut.
    pub const MESSAGE_LENGTH_MAX: usize = 16 * 1024;

    /// One that another attempt may mend.
    pub fn retryable(code: &str, message: impl fmt::Display) -> Self {
        Self { code: code.to_owned(), message: message.to_string(), details: None, cause: None, retryable: true }
    }

    /// One that no attempt can mend.
    pub fn fatal(code: &str, message: impl fmt::Display) -> Self {
        Self { retryable: false, ..Self::retryable(code, message) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
