//! Makes runs ready that were resumed by somebody who died over it.

use std::sync::Arc;
use std::time::Duration;

use super::Host;

const EVERY: Duration = Duration::from_secs(60);

pub(super) async fn run(host: Arc<Host>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = host.release_left_paused().await {
            tracing::debug!(%error, "paused runs were not looked at; it is tried again");
        }
    }
}
