//! Asks children to stop whose parents have ended or no longer want them.

use std::sync::Arc;
use std::time::Duration;

use super::Host;
use crate::store::Hint;

/// Most children that are asked at a time.
const BATCH_MAX: u32 = 500;

/// How often it looks.
const POLL: Duration = Duration::from_secs(1);

pub(super) async fn run(host: Arc<Host>) {
    loop {
        let is_more = match host.store.cancel_released(BATCH_MAX).await {
            Ok((is_more, owned)) => {
                for run_id in owned {
                    host.tell(run_id);
                    host.notifier.send(Hint::Mail(run_id));
                }
                is_more
            }
            Err(error) => {
                tracing::warn!(%error, "children whose parents have ended were not asked to stop; it is tried again");
                false
            }
        };
        if !is_more {
            // Those that were parked are ready now, and claims look by themselves.
            tokio::time::sleep(POLL).await;
        }
    }
}
