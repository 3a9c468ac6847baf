//! What a run shows of itself while it goes on.

use serde::Serialize;

use crate::{host, payload};

/// Set the value that outsiders read under `key`, at any time and without waking the run. The last value wins.
///
/// # Panics
///
/// If JSON cannot say the value, such as a map whose keys are not strings.
///
/// ```
/// #[windlass::workflow]
/// async fn work() -> windlass::Result<()> {
///     windlass::publish("progress", &"half way");
///     Ok(())
/// }
/// ```
pub fn publish(key: &str, value: &impl Serialize) {
    let value = payload::encode(value).unwrap_or_else(|failure| panic!("publish `{key}`: {failure}"));
    host::state::publish(key, &value);
}
