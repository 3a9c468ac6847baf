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

/// How long it waits for more room once there is some again: a claim of one run costs as much as one of many.
const GATHER: Duration = Duration::from_millis(5);

pub(super) async fn run(host: Arc<Host>, runner: Arc<Runner>, lease: Arc<Lease>) {
    loop {
        // Register interest before looking: what becomes ready meanwhile is not missed.
        let (ready, left) = (host.ready.notified(), runner.left());
        tokio::select! {
            () = runner.has_room() => {}
            () = host.shutdown.cancelled() => return,
        }
        let room = runner.room();
        let limit = room.all.min(BATCH_MAX);
        // Hosts begin with different shards: they meet less often.
        let first = rand::random_range(0..SHARDS);
        let claimed = match host.store.claim(&lease, first, limit, (room.each, &room.known)).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::warn!(%error, "no claim; it is tried again");
                host.unanswered.notify_one();
                tokio::time::sleep(POLL).await;
                continue;
            }
        };
        let is_full = claimed.len() == limit;
        let is_held_back = may_be_held_back(claimed.len(), &room);
        runner.note_left(&claimed, !is_full && !is_held_back);
        if !claimed.is_empty() {
            runner.take_up(claimed).await;
        }
        if !is_full {
            tokio::select! {
                () = ready => {}
                () = async { left.await; tokio::time::sleep(GATHER).await }, if is_held_back => {}
                () = tokio::time::sleep(POLL) => {}
                () = host.shutdown.cancelled() => return,
            }
        }
    }
}

/// Whether there may be more, of a namespace that has as much as is fair now.
fn may_be_held_back(claimed: usize, room: &Room) -> bool {
    room.known.iter().map(|(_, room)| *room).chain([room.each]).any(|room| room <= claimed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Namespace;

    #[test]
    fn who_has_brought_as_many_as_any_namespace_may_have_looks_again_when_one_has_left() {
        let room = |known: usize| Room {
            all: 300,
            each: 100,
            known: vec![(Namespace::new("full").unwrap(), known), (Namespace::new("other").unwrap(), 90)],
        };
        assert!(may_be_held_back(0, &room(0)));
        assert!(may_be_held_back(3, &room(3)), "there was little room, and it is full now");
        assert!(may_be_held_back(100, &room(200)));
        assert!(!may_be_held_back(2, &room(3)), "there was room for more");
        assert!(!may_be_held_back(0, &room(1)));
    }
}
