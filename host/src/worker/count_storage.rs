//! Tells the database how much this host has written for each namespace, and hears how much there is.

use std::sync::Arc;
use std::time::Duration;

use super::Host;

/// A host that dies takes with it what it has not said.
const EVERY: Duration = Duration::from_secs(1);

/// After so many rounds, what hosts have counted that are gone is put together.
const SETTLE_AFTER: u32 = 60;

pub(super) async fn run(host: Arc<Host>) {
    for round in 1_u32.. {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = host.save_storage().await {
            tracing::debug!(%error, "what was written was not counted; it is tried again");
        }
        if round.is_multiple_of(SETTLE_AFTER)
            && let Err(error) = host.store.settle_storage().await
        {
            tracing::debug!(%error, "old counts were not put together; it is tried again");
        }
    }
}
