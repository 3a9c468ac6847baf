//! How many runs stand where, for whoever watches over the hosts.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::Host;
use crate::store::{self, Quarantined, QueueDepth};

/// For so long an answer is given again: whoever asks, and however often, the database is asked no more than this.
const KEPT: Duration = Duration::from_secs(5);

/// What the database said last.
#[derive(Default)]
pub(super) struct Depths(Mutex<Option<(Instant, Standing)>>);

/// How the runs of all namespaces stand.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Those that are live, by queue.
    pub queues: Vec<QueueDepth>,
    /// Those that are quarantined, by the code of why.
    pub quarantined: Vec<Quarantined>,
}

impl Host {
    /// How many runs of all namespaces stand where. The database is asked when somebody wants to know, and not otherwise.
    pub async fn standing(&self) -> store::Result<Standing> {
        let mut last = self.depths.0.lock().await;
        if let Some((asked_at, standing)) = &*last
            && asked_at.elapsed() < KEPT
        {
            return Ok(standing.clone());
        }
        let queues = self.store.all_queue_depths().await?;
        let standing = Standing { queues, quarantined: self.store.all_quarantined().await? };
        *last = Some((Instant::now(), standing.clone()));
        Ok(standing)
    }

    /// How many runs this host has quarantined since it was started, by the code of why.
    pub fn quarantines(&self) -> Vec<(String, u64)> {
        self.quarantines.all()
    }
}
