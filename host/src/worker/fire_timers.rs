//! Makes parked runs ready whose time has come, those of other hosts too.

use std::sync::Arc;
use std::time::Duration;

use super::Host;
use crate::run::Runner;
use crate::store::DatabaseClock;

/// Most runs that are made ready at a time.
const BATCH_MAX: u32 = 1_000;

/// How often it looks when it knows of nothing: runs of other hosts come due as well.
const POLL: Duration = Duration::from_secs(1);

pub(super) async fn run(host: Arc<Host>, runner: Arc<Runner>, clock: DatabaseClock) {
    loop {
        // What is parked from now on rings; what was parked before is seen.
        runner.alarm.reset();
        let next_in = match host.store.fire_timers(BATCH_MAX).await {
            Ok(fired) => {
                if fired.fired > 0 {
                    host.became_ready();
                }
                fired.next_in.unwrap_or(POLL).min(POLL)
            }
            Err(error) => {
                tracing::warn!(%error, "timers were not fired; it is tried again");
                POLL
            }
        };
        let due = tokio::time::Instant::now() + next_in;
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            () = earlier(&runner, &clock, due) => {}
        }
    }
}

/// Ends when something that was parked since is due, if that is before `due`.
async fn earlier(runner: &Runner, clock: &DatabaseClock, due: tokio::time::Instant) {
    loop {
        let earliest = runner.alarm.earliest().map(|at| tokio::time::Instant::now() + at.since(clock.now()));
        match earliest.filter(|earliest| *earliest < due) {
            Some(earliest) => tokio::select! {
                () = tokio::time::sleep_until(earliest) => return,
                () = runner.alarm.rung() => {}
            },
            None => runner.alarm.rung().await,
        }
    }
}
