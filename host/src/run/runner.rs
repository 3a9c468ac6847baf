//! What all activations of a host have in common.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activate::Activation;
use super::active::Place;
use super::backlog::Backlog;
use super::residents::Residents;
use super::send::SENDS_MAX;
use super::threads::GuestThreads;
use super::turns::TurnDesk;
use super::{Active, Alarm, Namespaces, Program, ProgramError, Programs, Quarantines, Room, Secrets, Tenant};
use crate::fair::Places;
use crate::model::{RunId, RunInfo};
use crate::sandbox::{Limits, Network};
use crate::store::{
    self, Accepted, Claimed, DatabaseClock, Hint, Lease, NewRun, Newest, RunWriter, Start, Started, Store, Writers,
};

/// How a host deals with runs.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// Runs that it is at, at most. One namespace has four fifths of them at most.
    pub active_max: usize,
    /// How long a run may wait before it is parked.
    pub park_after: Duration,
    /// Bytes of the memories of parked guests that may stay.
    pub resident_bytes: usize,
    /// Strikes after which a run is quarantined: deaths of its hosts, or crashes that depend on the time, in a row and without
    /// progress. None where hosts are killed on purpose.
    pub strikes_max: Option<u16>,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            active_max: 1_280,
            park_after: Duration::from_millis(200),
            resident_bytes: 1 << 30,
            strikes_max: Some(3),
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
    pub(super) network: Arc<Network>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) namespaces: Arc<Namespaces>,
    pub(super) config: RunConfig,
    pub(super) quarantines: Arc<Quarantines>,
    pub(super) threads: GuestThreads,
    pub(super) residents: Residents,
    pub(super) step_places: Arc<Places>,
    /// Signals that its runs are sending.
    pub(super) send_places: Arc<Places>,
    pub(super) turns: Arc<TurnDesk>,
    /// What this host's runs mean to runs of others.
    pub(super) hints: mpsc::UnboundedSender<Hint>,
    /// Cancelled when the host is to stop: what waits is parked at once.
    pub(super) shutdown: CancellationToken,
    /// When the next run that this host has parked is due.
    pub alarm: Alarm,
    active: Active,
    backlog: Backlog,
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
    /// The way out for their steps.
    pub network: Arc<Network>,
    /// What the host puts into requests of their steps.
    pub secrets: Arc<Secrets>,
    /// What it may use for guests.
    pub limits: Limits,
    /// What namespaces may use.
    pub namespaces: Arc<Namespaces>,
    /// How it deals with them.
    pub config: RunConfig,
    /// Counts those that it quarantines.
    pub quarantines: Arc<Quarantines>,
    /// Takes what its runs mean to runs of others.
    pub hints: mpsc::UnboundedSender<Hint>,
    /// Where guests compute.
    pub threads: GuestThreads,
    /// When it is to stop.
    pub shutdown: CancellationToken,
}

impl Runner {
    /// At no run yet.
    pub fn new(parts: RunnerParts) -> Arc<Self> {
        let RunnerParts {
            store,
            lease,
            clock,
            writers,
            programs,
            network,
            secrets,
            limits,
            namespaces,
            config,
            quarantines,
            hints,
            threads,
            shutdown,
        } = parts;
        let residents_max = (limits.workflow_instances as usize).saturating_sub(config.active_max + DESCRIBING_MAX);
        Arc::new(Self {
            residents: Residents::new(residents_max, config.resident_bytes),
            step_places: Places::new(limits.step_instances as usize),
            send_places: Places::new(SENDS_MAX),
            turns: Arc::new(TurnDesk::new(store.clone())),
            active: Active::new(config.active_max),
            backlog: Backlog::default(),
            tasks: TaskTracker::new(),
            alarm: Alarm::default(),
            store,
            lease,
            clock,
            writers,
            programs,
            network,
            secrets,
            namespaces,
            config,
            quarantines,
            hints,
            threads,
            shutdown,
        })
    }

    /// Accept a run. If there is room, this host is at it from its first commit on, or even before; else any host may claim
    /// it, and the second of what is returned is false. `is_awaited`: somebody waits for its end, and it need not be written
    /// before that.
    pub async fn start(self: &Arc<Self>, run: &NewRun, is_awaited: bool) -> store::Result<(Started, bool)> {
        if let Some(info) = self.go_ahead(run, is_awaited).await {
            return Ok((Started::New(info), true));
        }
        let is_going_on = !self.shutdown.is_cancelled();
        // Before the first commit: a letter that comes right after it finds somebody at home. A run that is there already
        // was started before, and the database will say so.
        let place = if is_going_on { self.try_enter(run) } else { None };
        let started = self.store.start_run(run, place.as_ref().map(|_| &*self.lease)).await?;
        if started.is_new() {
            self.namespaces.accounts.of(&run.namespace).add_run(&run.input, &run.tags);
            // One that is limited is for any host, too; whether it waits for one already is not known here.
            if place.is_none() && matches!(started, Started::New(_)) {
                self.backlog.left(&run.namespace, run.priority);
            }
        }
        let is_ours = place.is_some() && !matches!(started, Started::Queued(_));
        if let (Some(place), Started::New(info)) = (place, &started) {
            let mut new = [run.claimed(info.clone())];
            let (runner, is_quiet) = (self.clone(), run.signal.is_none());
            self.tasks.spawn(async move {
                // Its workflow may be paused.
                runner.look_at(&mut new).await;
                let [claimed] = new;
                // A signal that came with it is in its inbox.
                let entry = runner.entry(claimed, is_quiet, place);
                runner.run(entry).await;
            });
        }
        Ok((started, is_ours))
    }

    /// Be at a run before it is written: all that is known of it, it was said here. The database has the last word when it is
    /// written, and until then nothing of it leaves the host. `None`: it has to go the long way, and nothing has happened.
    async fn go_ahead(self: &Arc<Self>, run: &NewRun, is_awaited: bool) -> Option<RunInfo> {
        if self.shutdown.is_cancelled() || run.signal.is_some() || run.concurrency_key.is_some() {
            return None;
        }
        // An error is for the long way to tell.
        let Newest { component, version, edition } =
            self.programs.newest(&run.namespace, &run.workflow).await.ok()??;
        if edition > self.programs.editions.newest() {
            return None;
        }
        // A key that was used is no reason to compute everything once more, only to be refused.
        if run.idempotency_key.is_some() && self.store.recorded_run(&run.namespace, run.run_id).await.ok()?.is_some() {
            return None;
        }
        let place = self.try_enter(run)?;
        let info = run.accepted(component, version, self.clock.now());
        let start = Start {
            info: Arc::new(info.clone()),
            input: run.input.clone(),
            tags: run.tags.clone(),
            idempotency_key: run.idempotency_key.clone(),
        };
        let end = self.lease.lost.child_token();
        let account = self.namespaces.accounts.of(&run.namespace);
        let (writer, mut accepted) = self.writers.for_new_run(start, account, end.clone());
        let claimed = run.claimed(info.clone());
        let entry = Entry { claimed, is_new: true, place, writer: writer.clone(), end };
        // First: whoever asks may go away at any await, and the run has somebody all the same.
        self.tasks.spawn(self.clone().run(entry));
        if !is_awaited {
            writer.release().await.ok()?;
        }
        let accepted = match timeout(HELD_MAX, &mut accepted).await {
            Ok(accepted) => accepted,
            Err(_) => {
                writer.release().await.ok()?;
                drop(writer);
                accepted.await
            }
        };
        match accepted {
            Ok(Accepted::Yes) => Some(info),
            Ok(Accepted::Refused) => {
                self.programs.forget_newest(&run.namespace, &run.workflow).await;
                None
            }
            // It may have been written: whoever asks the database finds out.
            Err(_) => None,
        }
    }

    /// The place of a new run, if there is room, and nothing waits that is to be taken up before it.
    fn try_enter(&self, run: &NewRun) -> Option<Place> {
        let is_before_others = self.backlog.is_before(&run.namespace, run.priority);
        if is_before_others { None } else { self.active.try_enter(run.run_id, &run.namespace) }
    }

    /// What has just been claimed says what is left. `is_all`: nothing.
    pub fn note_left(&self, claimed: &[Claimed], is_all: bool) {
        self.backlog.claimed(claimed.iter().map(|run| (&run.info.namespace, run.info.priority)), is_all);
    }

    /// Be at runs that this host has just claimed.
    pub async fn take_up(self: &Arc<Self>, mut claimed: Vec<Claimed>) {
        // First: whoever sends a letter from now on finds somebody at home, and one that came before is seen.
        claimed.iter().for_each(|claimed| self.active.announce(claimed.info.run_id, &claimed.info.namespace));
        self.look_at(&mut claimed).await;
        claimed.into_iter().for_each(|claimed| self.activate(claimed));
    }

    /// Find out where runs stand that this host has just got.
    async fn look_at(&self, claimed: &mut [Claimed]) {
        if let Err(error) = self.store.look_at(claimed).await {
            tracing::debug!(%error, "each run that was claimed looks by itself");
        }
    }

    /// Be at a run that this host owns.
    pub fn activate(self: &Arc<Self>, claimed: Claimed) {
        self.activate_after(Duration::ZERO, claimed);
    }

    pub(super) fn activate_after(self: &Arc<Self>, wait: Duration, claimed: Claimed) {
        // At once: it must not be taken for an orphan.
        self.active.announce(claimed.info.run_id, &claimed.info.namespace);
        let runner = self.clone();
        let activation = async move {
            let run_id = claimed.info.run_id;
            tokio::select! {
                () = runner.lease.lost.cancelled() => {}
                place = async { tokio::time::sleep(wait).await; runner.active.enter(run_id).await } => {
                    let entry = runner.entry(claimed, false, place);
                    runner.run(entry).await;
                }
            }
        };
        self.tasks.spawn(activation);
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

    fn entry(&self, claimed: Claimed, is_new: bool, place: Place) -> Entry {
        let end = self.lease.lost.child_token();
        let account = self.namespaces.accounts.of(&claimed.info.namespace);
        let writer = self.writers.for_run(claimed.info.run_id, account, end.clone());
        Entry { claimed, is_new, place, writer, end }
    }

    async fn run(self: Arc<Self>, entry: Entry) {
        let info = &entry.claimed.info;
        // Large, and over before the run begins: apart from what stays for as long as it goes on.
        match Box::pin(self.prepare(info)).await {
            Ok((program, tenant)) => Box::pin(Activation::new(self, entry, program, tenant).run()).await,
            Err(error) => {
                tracing::error!(run.id = %info.run_id, %error, "the run's program cannot be had; it is tried again");
                self.back_off(&entry.writer, entry.claimed).await;
            }
        }
    }

    /// What a run is made of, and what it may use.
    async fn prepare(&self, info: &RunInfo) -> Result<(Arc<Program>, Tenant), Arc<ProgramError>> {
        let program = self.programs.get(&info.namespace, &info.component, info.version).await?;
        let tenant = self.namespaces.get(&info.namespace).await.map_err(ProgramError::Store)?;
        Ok((program, tenant))
    }

    /// Something may be in the inbox of a run. Returns whether this host is at it.
    pub fn tell(&self, run_id: RunId) -> bool {
        self.active.tell(run_id)
    }

    /// Whether this host is at a run.
    pub fn is_at(&self, run_id: RunId) -> bool {
        self.active.is_at(run_id)
    }

    /// How many more runs it may be at.
    pub fn room(&self) -> Room {
        self.active.room()
    }

    /// Wait until it is at one less.
    pub fn left(&self) -> impl Future<Output = ()> {
        self.active.left()
    }

    /// Wait until there is room for one more.
    pub async fn has_room(&self) {
        self.active.has_room().await;
    }

    /// No more activations are begun; wait until those that are under way have ended.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What an activation begins with.
pub(super) struct Entry {
    pub(super) claimed: Claimed,
    /// Whether this host has just accepted the run: there can be no history, no letters and no attempts.
    pub(super) is_new: bool,
    pub(super) place: Place,
    pub(super) writer: RunWriter,
    /// Cancelled when the run is lost, and when the activation is over: everything that belongs to it stops.
    pub(super) end: CancellationToken,
}

/// After this, a run that was accepted is written whatever it is at: a step that waits for a processor writes nothing by itself.
const HELD_MAX: Duration = Duration::from_secs(1);

/// A run that this host has owned for longer than this, it has heard of, or the answer was lost.
const ORPHAN_AGE: Duration = Duration::from_secs(2);

/// Instances that are kept free for components that are being inspected, and for runs that are tried on other versions.
const DESCRIBING_MAX: usize = 16;
