//! What a host does under one lease, and then under the next.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{
    Host, adopt, archive, cancel_released, claim, count_storage, fire_schedules, fire_timers, heartbeat, note_key_use,
    pass_on, reap, release_paused, settle_concurrency, try_suspects, vacuum, watch_others,
};
use crate::run::{Runner, RunnerParts};
use crate::store::{DatabaseClock, Lease, Writers};

/// Group commit works best with few writers: each takes all that has gathered while it committed. One keeps a server of two
/// processors busy; more than four only share what one could have written at once.
fn writers() -> usize {
    std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).clamp(1, 4))
}

/// How long a shutdown waits for activations to end by themselves.
const DRAIN_MAX: Duration = Duration::from_secs(3);

/// How long it then waits for the lease to be given up.
const END_MAX: Duration = Duration::from_secs(1);

/// Between attempts to get a lease.
const RETRY: Duration = Duration::from_millis(500);

/// Work, lease after lease, until the host is to stop.
pub(super) async fn run(host: &Arc<Host>) {
    while let Some((lease, clock)) = take_lease(host).await {
        tracing::info!(host.id = %host.host_id, lease.epoch = lease.epoch, "serving");
        serve(host, lease, clock).await;
        if host.shutdown.is_cancelled() {
            return;
        }
        tracing::warn!(host.id = %host.host_id, "the lease is lost: other hosts take over the runs of this one");
    }
}

async fn take_lease(host: &Host) -> Option<(Arc<Lease>, DatabaseClock)> {
    let name = format!("{} (process {})", machine(), std::process::id());
    loop {
        if host.shutdown.is_cancelled() {
            return None;
        }
        match host.store.take_lease(host.host_id, &name, host.config.lease, host.config.editions.newest()).await {
            Ok((lease, clock)) => return Some((Arc::new(lease), clock)),
            Err(error) => tracing::warn!(%error, "no lease; it is tried again"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = host.shutdown.cancelled() => {}
        }
    }
}

async fn serve(host: &Arc<Host>, lease: Arc<Lease>, clock: DatabaseClock) {
    let mut actors = JoinSet::new();
    let (hints, hinted) = mpsc::unbounded_channel();
    let writers = Writers::start(&host.store, &lease, &host.watchers, &hints, writers(), &mut actors);
    let runner = Runner::new(RunnerParts {
        store: host.store.clone(),
        lease: lease.clone(),
        clock: clock.clone(),
        writers,
        programs: host.programs.clone(),
        network: host.network.clone(),
        secrets: host.secrets.clone(),
        limits: host.config.limits.clone(),
        namespaces: host.namespaces.clone(),
        config: host.config.run.clone(),
        quarantines: host.quarantines.clone(),
        hints,
        threads: host.threads.clone(),
        shutdown: host.shutdown.clone(),
    });
    actors.spawn(heartbeat::run(host.clone(), lease.clone(), clock.clone()));
    actors.spawn(watch_others::run(host.clone(), runner.clone()));
    actors.spawn(claim::run(host.clone(), runner.clone(), lease.clone()));
    actors.spawn(adopt::run(host.clone(), runner.clone()));
    actors.spawn(fire_timers::run(host.clone(), runner.clone(), clock));
    actors.spawn(fire_schedules::run(host.clone()));
    actors.spawn(pass_on::run(host.clone(), runner.clone(), hinted));
    actors.spawn(cancel_released::run(host.clone()));
    actors.spawn(reap::run(host.clone(), lease.clone()));
    actors.spawn(note_key_use::run(host.clone()));
    actors.spawn(try_suspects::run(host.clone(), runner.clone(), lease.clone()));
    actors.spawn(count_storage::run(host.clone()));
    actors.spawn(vacuum::run(host.clone()));
    actors.spawn(release_paused::run(host.clone()));
    actors.spawn(settle_concurrency::run(host.clone()));
    actors.spawn(archive::run(host.clone()));
    host.runner.send_replace(Some(runner.clone()));

    tokio::select! {
        () = lease.lost.cancelled() => {}
        () = host.shutdown.cancelled() => drain(&runner).await,
    }
    host.runner.send_replace(None);
    let is_over = async {
        end_lease(host, &lease).await;
        // Every activation sees that the lease is lost, and ends.
        runner.drain().await;
    };
    if host.shutdown.is_cancelled() {
        // A database that does not answer must not keep the process from ending.
        if tokio::time::timeout(END_MAX, is_over).await.is_err() {
            tracing::warn!("the lease could not be given up in time: others wait until it runs out");
        }
    } else {
        is_over.await;
    }
    actors.shutdown().await;
}

async fn drain(runner: &Runner) {
    if tokio::time::timeout(DRAIN_MAX, runner.drain()).await.is_err() {
        tracing::info!(after = ?DRAIN_MAX, "some runs are in the middle of a step: another host repeats it");
    }
}

async fn end_lease(host: &Host, lease: &Lease) {
    if !host.shutdown.is_cancelled() {
        lease.lost.cancel();
        return;
    }
    match lease.end().await {
        Ok(0) => {}
        Ok(runs) => tracing::info!(runs, "released"),
        Err(error) => tracing::warn!(%error, "the lease could not be given up: others wait until it runs out"),
    }
    host.became_ready();
}

fn machine() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "host".to_owned(), |name| name.trim().to_owned())
}
