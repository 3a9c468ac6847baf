//! Where a run stands.

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for something.
    Waiting,
    /// It ended with a result.
    Completed,
    /// It ended with a failure.
    Failed,
    /// It was asked to stop, and did: it ended with the code `cancelled`.
    Cancelled,
}
