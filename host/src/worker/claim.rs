//! Takes ready runs, as far as there is room.

use std::sync::Arc;
use std::time::Duration;

use super::Host;
use crate::model::SHARDS;
use crate::run::{Room, Runner};
use crate::store::Lease;

/// Most runs in one claim.
const BATCH_MAX: usize = 256;

/// How often it looks when nobody says that there is anything.
const POLL: Duration = Duration::from_millis(500);

pub(super) async fn run(host: Arc<Host>, runner: Arc<Runner>, lease: Arc<Lease>) {
    loop {
        // Register interest before looking: what becomes ready meanwhile is not missed.
        let (ready, left) = (host.ready.notified(), runner.left());
        tokio::select! {
            () = runner.has_room() => {}
            () = host.shutdown.cancelled() => return,
        }
        let Room { all, each, known } = runner.room();
        let limit = all.min(BATCH_MAX);
        // Hosts begin with different shards: they meet less often.
        let first = rand::random_range(0..SHARDS);
        let claimed = match host.store.claim(&lease, first, limit, (each, &known)).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "no claim; it is tried again");
                host.unanswered.notify_one();
                tokio::time::sleep(POLL).await;
                continue;
            }
        };
        let is_full = claimed.len() == limit;
        // There may be more of a namespace that has as much as is fair.
        let is_held_back = known.iter().any(|(_, room)| *room == 0) || claimed.len() >= each.min(limit);
        if !claimed.is_empty() {
            runner.take_up(claimed).await;
        }
        if !is_full {
            tokio::select! {
                () = ready => {}
                () = left, if is_held_back => {}
                () = tokio::time::sleep(POLL) => {}
                () = host.shutdown.cancelled() => return,
            }
        }
    }
}
