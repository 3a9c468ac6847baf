//! What a run may know about itself, and what it is found by.

use std::fmt::Display;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::bindings::windlass::workflow::run as wit;
use crate::{event, host, payload};

/// A run, as its own workflow sees it. Fixed for the whole run, but for its generation.
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
    /// When it will be asked to stop by itself, if it has a deadline.
    pub deadline: Option<SystemTime>,
    /// The run that started it, if one did.
    pub parent: Option<String>,
    /// How often it has continued as new.
    pub generation: u32,
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
    let wit::Info { namespace, run_id, workflow, version, started_at, deadline, parent, generation } =
        host::run::current();
    let time = |micros| UNIX_EPOCH + Duration::from_micros(micros);
    let (started_at, deadline) = (time(started_at), deadline.map(time));
    Info { namespace, run_id, workflow, version, started_at, deadline, parent, generation }
}

/// How many events the run has seen since it was accepted or last continued as new. A replay takes time in proportion: a
/// workflow that goes on for ever [continues as new](continue_as_new) now and then.
///
/// ```
/// #[windlass::workflow]
/// async fn seen() -> windlass::Result<u32> {
///     windlass::sleep(std::time::Duration::from_secs(1)).await;
///     Ok(windlass::run::history_length())
/// }
/// ```
pub fn history_length() -> u32 {
    host::run::history_length()
}

/// Set a tag: what people find the run by, among many (`windlass list --tag customer=acme`). The last value of a key wins, also over one
/// that the run was started with. It is there for good: when the run has ended, and when it [begins again](continue_as_new).
///
/// Tags are never sealed: what nobody may read in a copy of the database does not belong into them. A run has at most 16, with those
/// that it was started with; keys have at most 64 characters, values 1 to 128, without commas and control characters. What is beyond that is a
/// bug, and traps: what comes from outside is cut or checked before.
///
/// ```
/// #[windlass::workflow]
/// async fn ship(customer: String) -> windlass::Result<()> {
///     windlass::run::tag("customer", &customer);
///     windlass::run::tag("stage", "packing");
///     Ok(())
/// }
///
/// let run = windlass::testing::Test::new().start(ship, "acme");
/// assert_eq!(run.tag("customer").as_deref(), Some("acme"));
/// ```
pub fn tag(key: &str, value: impl Display) {
    host::run::tag(key, &value.to_string());
}

/// Begin again with an empty history: the same run and the same workflow, with this input. To everybody outside nothing changes:
/// its id, its inbox, what it has published, its tags, its deadline. What is open is cancelled, as at the end.
///
/// Never returns. A request to stop that takes effect at the same time wins. An input that JSON cannot say is a bug, and panics.
///
/// ```
/// use std::time::Duration;
///
/// /// Looks every minute, for ever.
/// #[windlass::workflow]
/// async fn watch(mut last: u64) -> windlass::Result<()> {
///     while windlass::run::history_length() < 1_000 {
///         windlass::sleep(Duration::from_secs(60)).await;
///         last = look(last).await?;
///     }
///     windlass::continue_as_new(&last).await
/// }
///
/// #[windlass::step]
/// async fn look(last: u64) -> windlass::Result<u64> {
///     Ok(last + 1)
/// }
/// ```
pub async fn continue_as_new<T>(input: &impl Serialize) -> T {
    let input = payload::encode(input).unwrap_or_else(|failure| panic!("continue_as_new: {failure}"));
    let _continuing = event::Continuing::new(input);
    std::future::pending().await
}
