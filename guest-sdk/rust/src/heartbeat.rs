//! Signs of life of a long step.

use serde::Serialize;

use crate::{Result, host, payload};

/// Say how far the attempt has come: the next one, if there has to be one, can [go on](crate::step::Attempt::heartbeat) from
/// there, and people see it. The last report counts; it is recorded within a second or two. Only in the code of a step. Fails with
/// `invalid-payload` for what JSON cannot say.
///
/// ```no_run
/// use windlass::{Result, heartbeat, step};
///
/// #[windlass::step(timeout = "1h")]
/// async fn copy(pages: u32) -> Result<()> {
///     let first = step::attempt().heartbeat::<u32>().map_or(0, |last| last + 1);
///     for page in first..pages {
///         // … copy it …
///         heartbeat::report(&page)?;
///     }
///     Ok(())
/// }
/// ```
pub fn report(details: &impl Serialize) -> Result<()> {
    host::heartbeat::report(&payload::encode(details)?);
    Ok(())
}
