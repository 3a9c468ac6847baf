//! Frees the runs of hosts that are dead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::Host;
use crate::store::Lease;

/// How long it waits for a write of a host that seems dead.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn run(host: Arc<Host>, lease: Arc<Lease>) {
    let times = lease.times();
    let mut ticks = interval(times.renew / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reaching_since = Instant::now();
    loop {
        ticks.tick().await;
        // A host whose session is gone and who is late is dead, and there is no need to wait for its lease to run out. But
        // after the database was away all sessions are gone and all hosts are late: first they get the time to be back.
        let is_settled = reaching_since.elapsed() > times.renew * 3;
        let missed = if is_settled { times.renew * 3 / 2 } else { times.ttl };
        match host.store.reap(&lease, missed, PATIENCE).await {
            Ok(reaped) if reaped.hosts_reaped > 0 => {
                tracing::warn!(hosts = reaped.hosts_reaped, runs = reaped.runs_freed, "took over from dead hosts");
                host.became_ready();
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "dead hosts were not looked for; it is tried again");
                reaching_since = Instant::now();
            }
        }
    }
}
