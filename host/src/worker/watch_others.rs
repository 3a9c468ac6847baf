//! Finds out about the ends of runs that somebody waits for here and that another host is at, or none: in one statement for many, so that
//! those who wait cost next to nothing.

use std::sync::Arc;
use std::time::Duration;

use super::Host;
use crate::model::RunId;
use crate::run::Runner;

/// How often it looks.
const POLL: Duration = Duration::from_millis(200);

/// When the database has not answered.
const AWAY: Duration = Duration::from_secs(1);

/// Runs that one statement looks for.
const RUNS_MAX: usize = 1_000;

pub(super) async fn run(host: Arc<Host>, runner: Arc<Runner>) {
    loop {
        tokio::time::sleep(POLL).await;
        // What this host is at, it hears of.
        let runs: Vec<RunId> = host.watchers.open().into_iter().filter(|run_id| !runner.is_at(*run_id)).collect();
        for runs in runs.chunks(RUNS_MAX) {
            match host.store.not_open(runs).await {
                // One that was in between two hosts, or not written yet, is only looked at once more.
                Ok(ended) => ended.into_iter().for_each(|run_id| host.watchers.ended(run_id, None)),
                Err(error) => {
                    tracing::warn!(%error, "the ends of runs at other hosts are not seen; it is tried again");
                    tokio::time::sleep(AWAY).await;
                    break;
                }
            }
        }
    }
}
