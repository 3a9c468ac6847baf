//! What a run may know about itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::bindings::windlass::workflow::run as wit;
use crate::host;

/// A run, as its own workflow sees it. Fixed for the whole run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Info {
    /// The namespace that it belongs to.
    pub namespace: String,
    /// Its id, a UUID.
    pub run_id: String,
    /// The name of its workflow.
    pub workflow: String,
    /// The version of the component that it is pinned to.
    pub version: u32,
    /// When it was accepted.
    pub started_at: SystemTime,
}

/// About this run. Only in a workflow; a step has [`attempt`](crate::step::attempt).
///
/// ```
/// #[windlass::workflow]
/// async fn who() -> windlass::Result<String> {
///     Ok(windlass::run::current().run_id)
/// }
/// ```
pub fn current() -> Info {
    let wit::Info { namespace, run_id, workflow, version, started_at } = host::run::current();
    Info { namespace, run_id, workflow, version, started_at: UNIX_EPOCH + Duration::from_micros(started_at) }
}
