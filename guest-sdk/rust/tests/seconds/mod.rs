//! Lengths of time.

use std::time::Duration;

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
