//! How many runs stand where, for whoever watches over the hosts.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::Host;
use crate::store::{self, QueueDepth};

/// For so long an answer is given again: whoever asks, and however often, the database is asked no more than this.
const KEPT: Duration = Duration::from_secs(5);

/// What the database said last.
#[derive(Default)]
pub(super) struct Depths(Mutex<Option<(Instant, Vec<QueueDepth>)>>);

impl Host {
    /// How many runs of all namespaces stand in each queue. The database is asked when somebody wants to know, and not otherwise.
    pub async fn queue_depths(&self) -> store::Result<Vec<QueueDepth>> {
        let mut last = self.depths.0.lock().await;
        if let Some((asked_at, depths)) = &*last
            && asked_at.elapsed() < KEPT
        {
            return Ok(depths.clone());
        }
        let depths = self.store.all_queue_depths().await?;
        *last = Some((Instant::now(), depths.clone()));
        Ok(depths)
    }
}
