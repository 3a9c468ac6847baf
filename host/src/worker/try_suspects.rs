//! Takes up runs that hosts have died of, perhaps: one at a time.
//!
//! Two deaths of hosts without progress make suspects of all runs that were there. Which of them it was shows when each is taken
//! up alone: the third death is that run's, and the others go on.

use std::sync::Arc;
use std::time::Duration;

use super::Host;
use crate::model::SHARDS;
use crate::run::Runner;
use crate::store::Lease;

/// How often it looks. There are hardly ever any.
const POLL: Duration = Duration::from_secs(2);

/// How long a run is on trial: whatever it does to its host, it does soon, and others wait for their turn.
const TRIAL: Duration = Duration::from_secs(2);

/// How often it looks whether the run is over already.
const LOOK: Duration = Duration::from_millis(10);

pub(super) async fn run(host: Arc<Host>, runner: Arc<Runner>, lease: Arc<Lease>) {
    loop {
        tokio::select! {
            () = runner.has_room() => {}
            () = host.shutdown.cancelled() => return,
        }
        match host.store.claim_suspect(&lease, rand::random_range(0..SHARDS)).await {
            Ok(Some(suspect)) => {
                let run_id = suspect.info.run_id;
                tracing::info!(run.id = %run_id, strikes = suspect.strikes, "a run on trial");
                runner.take_up(vec![suspect]).await;
                let begun = tokio::time::Instant::now();
                while runner.is_at(run_id) && begun.elapsed() < TRIAL {
                    tokio::time::sleep(LOOK).await;
                }
                if let Err(error) = host.store.end_trial(&lease, run_id).await {
                    tracing::debug!(%error, run.id = %run_id, "the run stays on trial");
                }
            }
            Ok(None) => {
                tokio::select! {
                    () = tokio::time::sleep(POLL) => {}
                    () = host.shutdown.cancelled() => return,
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no suspect was taken up; it is tried again");
                host.unanswered.notify_one();
                tokio::time::sleep(POLL).await;
            }
        }
    }
}
