//! Lines that guests write for people.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much a line matters. See `wit/log.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For the author of the workflow.
    Debug,
    /// What happened.
    Info,
    /// Something is odd, and the run goes on.
    Warn,
    /// Something failed.
    Error,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Which line of its source it is, from 0: a replay gives the same line the same number.
    pub number: u32,
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub message: String,
}
