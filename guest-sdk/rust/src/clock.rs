//! The run's own time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::host;

/// The time of the last thing that happened to the run: a replay sees the same, and it stands still while code computes.
///
/// In a workflow, [`SystemTime::now`] gives the same time.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// #[windlass::workflow]
/// async fn deadline() -> windlass::Result<SystemTime> {
///     Ok(windlass::now() + Duration::from_secs(3600))
/// }
/// ```
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(host::clock::now())
}
