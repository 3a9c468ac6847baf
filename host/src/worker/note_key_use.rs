//! Writes down which API keys were used, apart from the requests that they were used for. People look at it to find keys that
//! nobody needs; the database writes it at most once a minute for each, however many hosts it was used at.

use std::sync::Arc;
use std::time::Duration;

use super::Host;

const EVERY: Duration = Duration::from_secs(5);

pub(super) async fn run(host: Arc<Host>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let used = host.authenticator.take_used();
        if used.is_empty() {
            continue;
        }
        if let Err(error) = host.store.note_key_use(&used).await {
            tracing::debug!(%error, "it was not written down which keys were used; those that go on being used come again");
        }
    }
}
