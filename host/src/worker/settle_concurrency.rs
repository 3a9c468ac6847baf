//! Ends what somebody has begun who changed a limit on runs at once and died over it.

use std::sync::Arc;
use std::time::Duration;

use super::Host;

const EVERY: Duration = Duration::from_secs(5);

pub(super) async fn run(host: Arc<Host>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = host.settle_left_concurrency().await {
            tracing::debug!(%error, "limits on runs at once were not looked at; it is tried again");
        }
    }
}
