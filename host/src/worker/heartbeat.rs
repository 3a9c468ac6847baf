//! Renews the lease. When it cannot, everything that this host does under it stops before others begin.

use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Host;
use crate::store::{DatabaseClock, Error, Lease};

pub(super) async fn run(host: Arc<Host>, lease: Arc<Lease>, clock: DatabaseClock) {
    let mut ticks = interval(lease.times().renew);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // A database that does not answer does not keep the lease from running out.
        match timeout(lease.remaining(), lease.renew(&host.store, &clock)).await {
            Ok(Ok(())) => {}
            Ok(Err(Error::Fenced)) => {
                tracing::warn!(lease.epoch = lease.epoch, "another host has taken the lease away");
                break;
            }
            Ok(Err(error)) if !lease.remaining().is_zero() => {
                tracing::warn!(%error, remaining = ?lease.remaining(), "the lease was not renewed; it is tried again");
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(lease.epoch = lease.epoch, "the lease has run out");
                break;
            }
        }
    }
    lease.lost.cancel();
}
