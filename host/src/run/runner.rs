//! What all activations of a host have in common.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activate::Activation;
use super::active::Place;
use super::residents::Residents;
use super::threads::GuestThreads;
use super::{Active, Alarm, Programs};
use crate::model::RunId;
use crate::sandbox::Limits;
use crate::store::{self, Claimed, DatabaseClock, Hint, Lease, NewRun, Started, Store, Writers};

/// How a host deals with runs.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// Runs that it is at, at most.
    pub active_max: usize,
    /// Guests that compute at once, at most.
    pub threads: usize,
    /// How long a run may wait before it is parked.
    pub park_after: Duration,
    /// Bytes of the memories of parked guests that may stay.
    pub resident_bytes: usize,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            active_max: 1_024,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            park_after: Duration::from_millis(200),
            resident_bytes: 1 << 30,
        }
    }
}

/// Runs activations under one lease.
pub struct Runner {
    pub(super) store: Store,
    pub(super) lease: Arc<Lease>,
    pub(super) clock: DatabaseClock,
    pub(super) writers: Writers,
    pub(super) programs: Arc<Programs>,
    pub(super) limits: Arc<Limits>,
    pub(super) config: RunConfig,
    pub(super) threads: GuestThreads,
    pub(super) residents: Residents,
    pub(super) step_places: Arc<Semaphore>,
    pub(super) step_runtime: tokio::runtime::Handle,
    /// What this host's runs mean to runs of others.
    pub(super) hints: mpsc::UnboundedSender<Hint>,
    /// Cancelled when the host is to stop: what waits is parked at once.
    pub(super) shutdown: CancellationToken,
    /// When the next run that this host has parked is due.
    pub alarm: Alarm,
    active: Active,
    tasks: TaskTracker,
}

/// What a runner is made of.
pub struct RunnerParts {
    /// Where runs are kept.
    pub store: Store,
    /// By what right it is at them.
    pub lease: Arc<Lease>,
    /// The database's time.
    pub clock: DatabaseClock,
    /// What writes about them.
    pub writers: Writers,
    /// Their code.
    pub programs: Arc<Programs>,
    /// What guests may use.
    pub limits: Arc<Limits>,
    /// How it deals with them.
    pub config: RunConfig,
    /// Takes what its runs mean to runs of others.
    pub hints: mpsc::UnboundedSender<Hint>,
    /// Where steps compute.
    pub step_runtime: tokio::runtime::Handle,
    /// When it is to stop.
    pub shutdown: CancellationToken,
}

impl Runner {
    /// At no run yet.
    pub fn new(parts: RunnerParts) -> Arc<Self> {
        let RunnerParts { store, lease, clock, writers, programs, limits, config, hints, step_runtime, shutdown } =
            parts;
        let residents_max = (limits.workflow_instances as usize).saturating_sub(config.active_max + DESCRIBING_MAX);
        Arc::new(Self {
            threads: GuestThreads::new(config.threads),
            residents: Residents::new(residents_max, config.resident_bytes),
            step_places: Arc::new(Semaphore::new(limits.step_instances as usize)),
            active: Active::default(),
            tasks: TaskTracker::new(),
            alarm: Alarm::default(),
            store,
            lease,
            clock,
            writers,
            programs,
            limits,
            config,
            hints,
            step_runtime,
            shutdown,
        })
    }

    /// Accept a run. If there is room, this host is at it from its first commit on; else any host may claim it, and the
    /// second of what is returned is false.
    pub async fn start(self: &Arc<Self>, run: &NewRun) -> store::Result<(Started, bool)> {
        let has_room = self.room() > 0 && !self.shutdown.is_cancelled();
        // Before the first commit: a letter that comes right after it finds somebody at home. A run that is there already
        // was started before, and the database will say so.
        let place = if has_room { self.active.try_enter(run.run_id) } else { None };
        let started = self.store.start_run(run, place.as_ref().map(|_| &*self.lease)).await?;
        let is_ours = place.is_some();
        if let (Some(place), Started::New(info)) = (place, &started) {
            let claimed = Claimed { info: info.clone(), input: run.input.clone(), strikes: 0 };
            // A signal that came with it is in its inbox.
            self.tasks.spawn(self.clone().run(claimed, run.signal.is_none(), place));
        }
        Ok((started, is_ours))
    }

    /// Be at a run that this host has claimed.
    pub fn activate(self: &Arc<Self>, claimed: Claimed) {
        self.activate_after(Duration::ZERO, claimed);
    }

    pub(super) fn activate_after(self: &Arc<Self>, wait: Duration, claimed: Claimed) {
        // At once: it must not be taken for an orphan.
        self.active.announce(claimed.info.run_id);
        let runner = self.clone();
        self.tasks.spawn(async move {
            let run_id = claimed.info.run_id;
            tokio::select! {
                () = runner.lease.lost.cancelled() => {}
                place = async { tokio::time::sleep(wait).await; runner.active.enter(run_id).await } => {
                    runner.run(claimed, false, place).await;
                }
            }
        });
    }

    /// Take up runs that this host owns and does not know of. Returns how many there were.
    pub async fn adopt_orphans(self: &Arc<Self>) -> store::Result<usize> {
        let (known, asked_at) = (self.active.known(), Instant::now());
        let orphans = self.store.orphans(&self.lease, &known, ORPHAN_AGE).await?;
        if asked_at.elapsed() > ORPHAN_AGE / 2 {
            // Too long ago to tell: what is known may have changed before the database looked.
            return Ok(0);
        }
        let count = orphans.len();
        orphans.into_iter().for_each(|claimed| self.activate(claimed));
        Ok(count)
    }

    async fn run(self: Arc<Self>, claimed: Claimed, is_new: bool, place: Place) {
        let info = &claimed.info;
        match self.programs.get(&info.namespace, &info.component, info.version).await {
            Ok(program) => Box::pin(Activation::new(self, claimed, is_new, place, program).run()).await,
            Err(error) => {
                tracing::error!(run.id = %info.run_id, %error, "the run's program cannot be had; it is tried again");
                let writer = self.writers.for_run(info.run_id, self.lease.lost.child_token());
                self.back_off(&writer, claimed).await;
            }
        }
    }

    /// Something may be in the inbox of a run. Returns whether this host is at it.
    pub fn tell(&self, run_id: RunId) -> bool {
        self.active.tell(run_id)
    }

    /// How many more runs it may be at.
    pub fn room(&self) -> usize {
        self.config.active_max.saturating_sub(self.active.len())
    }

    /// Wait until there is room for one more.
    pub async fn has_room(&self) {
        self.active.fewer_than(self.config.active_max).await;
    }

    /// No more activations are begun; wait until those that are under way have ended.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A run that this host has owned for longer than this, it has heard of, or the answer was lost.
const ORPHAN_AGE: Duration = Duration::from_secs(2);

/// Instances that are kept free for components that are being inspected.
const DESCRIBING_MAX: usize = 16;
