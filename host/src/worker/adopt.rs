//! Takes up runs that this host owns and does not know of: the answer to a claim or a start was lost after its commit.

use std::sync::Arc;
use std::time::Duration;

use super::Host;
use crate::run::Runner;

/// How often it looks when no answer seems to be lost.
const EVERY: Duration = Duration::from_secs(10);

/// How long it waits after one was: a run is an orphan when it is older than any answer can be late.
const SOON: Duration = Duration::from_secs(3);

pub(super) async fn run(host: Arc<Host>, runner: Arc<Runner>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = host.unanswered.notified() => tokio::time::sleep(SOON).await,
        }
        match runner.adopt_orphans().await {
            Ok(0) => {}
            Ok(runs) => tracing::warn!(runs, "took up runs whose claim or start was not answered"),
            Err(error) => tracing::debug!(%error, "orphans were not looked for; it is tried again"),
        }
    }
}
