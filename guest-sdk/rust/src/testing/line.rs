//! What a run and its steps log.

use std::time::SystemTime;

use crate::log::Level;

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When it was written.
    pub at: SystemTime,
    /// How much it matters.
    pub level: Level,
    /// Of a step's line: its call.
    pub call: Option<u32>,
    /// Of a step's line: its attempt.
    pub attempt: Option<u32>,
    /// The text.
    pub message: String,
}
