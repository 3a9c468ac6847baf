//! Keeps the tables small that change all the time: the database's own vacuum comes too rarely for them.

use std::sync::Arc;
use std::time::Duration;

use super::Host;

const EVERY: Duration = Duration::from_secs(60);

pub(super) async fn run(host: Arc<Host>) {
    loop {
        tokio::time::sleep(EVERY).await;
        if let Err(error) = host.store.vacuum().await {
            tracing::debug!(%error, "no vacuum; it is tried again");
        }
    }
}
