//! One pass of this host over a run: from where its history ends, until it ends, waits for long, or is lost.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::active::Place;
use super::agenda::Agenda;
use super::finish::Ending;
use super::letters::Letters;
use super::runner::Entry;
use super::steps::{OpenStep, Running, StepRunner};
use super::turn::Turned;
use super::wait::Waited;
use super::{Guest, Progress, Runner, Stop, Tenant};
use crate::model::{CallId, RunInfo};
use crate::sandbox::{Crash, Trap, Violation};
use crate::store::{self, Claimed, Lost, RunWriter};

/// A run that this host is at.
pub(super) struct Activation {
    pub(super) runner: Arc<Runner>,
    pub(super) info: Arc<RunInfo>,
    /// What its namespace may use.
    pub(super) tenant: Tenant,
    pub(super) claimed: Claimed,
    pub(super) place: Place,
    pub(super) guest: Option<Guest>,
    pub(super) writer: RunWriter,
    /// Cancelled when the run is lost, and when the activation is over: everything that belongs to it stops.
    pub(super) end: CancellationToken,
    pub(super) step_runner: Arc<StepRunner>,
    pub(super) steps: HashMap<CallId, OpenStep>,
    pub(super) sends: HashMap<CallId, Running>,
    /// When sleeps end, steps are tried again, and the run is to stop.
    pub(super) agenda: Agenda,
    pub(super) letters: Letters,
    /// Bytes of lines that may still be added to its log, if that was counted.
    pub(super) log_bytes_left: Option<usize>,
    /// Calls with a smaller number have been dispatched.
    pub(super) dispatched: CallId,
    /// Whether anything was dispatched in this activation.
    pub(super) has_dispatched: bool,
    /// Whether nothing is begun any more: the namespace keeps as much as it may, or somebody has paused the run.
    pub(super) is_held: bool,
    /// Whether this host has just accepted the run: there can be no history, no letters and no attempts.
    pub(super) is_new: bool,
    /// Whether the guest was delivered something for the first time.
    pub(super) has_progressed: bool,
}

/// Why an activation cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interruption {
    /// The run is another host's, or will be.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// It was the guest.
    #[error(transparent)]
    Stop(#[from] Stop),
    /// It was this host or the database: the run goes back, to be tried again.
    #[error("{0}")]
    Host(String),
    /// The namespace keeps as much as it may: the run goes back, until there is room.
    #[error("the namespace keeps as many bytes as it may")]
    NoRoom,
    /// Somebody has paused it: the run goes back, until it is resumed.
    #[error("the run is paused")]
    Paused,
}

impl From<Crash> for Interruption {
    fn from(crash: Crash) -> Self {
        match crash {
            Crash::Host(message) => Self::Host(message),
            crash @ Crash::Trap(_) => Self::Stop(Stop::Crash(crash)),
        }
    }
}

impl From<store::Error> for Interruption {
    fn from(error: store::Error) -> Self {
        Self::Host(error.to_string())
    }
}

impl Activation {
    pub(super) fn new(runner: Arc<Runner>, entry: Entry, program: Arc<super::Program>, tenant: Tenant) -> Self {
        let Entry { claimed, is_new, place, writer, end } = entry;
        let info = Arc::new(claimed.info.clone());
        let step_runner = Arc::new(StepRunner {
            info: info.clone(),
            program,
            programs: runner.programs.clone(),
            network: runner.network.clone(),
            secrets: runner.secrets.clone(),
            limits: tenant.limits.clone(),
            clock: runner.clock.clone(),
            lease: runner.lease.clone(),
            writer: writer.clone(),
            places: runner.step_places.clone(),
            threads: runner.threads.clone(),
            address: place.address.clone(),
        });
        Self {
            runner,
            info,
            tenant,
            claimed,
            place,
            guest: None,
            writer,
            end,
            step_runner,
            steps: HashMap::new(),
            sends: HashMap::new(),
            agenda: Agenda::default(),
            letters: Letters::default(),
            log_bytes_left: None,
            dispatched: 0,
            has_dispatched: false,
            is_held: false,
            is_new,
            has_progressed: false,
        }
    }

    /// To its end.
    pub(super) async fn run(mut self) {
        let result = self.go().await;
        if let Err(interruption) = result {
            self.interrupted(interruption).await;
        }
        // Attempts that still run, and guest code that still computes, stop.
        self.end.cancel();
    }

    async fn go(&mut self) -> Result<(), Interruption> {
        if self.claimed.standing.is_some_and(|standing| standing.is_paused) {
            return Err(Interruption::Paused);
        }
        if self.has_killed_hosts() {
            self.killed_hosts().await;
            return Ok(());
        }
        if !self.is_new && self.has_no_room() {
            return Err(Interruption::NoRoom);
        }
        self.prepare_guest().await?;
        if !self.is_new && self.claimed.standing.is_none_or(|standing| standing.has_letters) {
            self.read_letters().await?;
        }
        loop {
            match self.turn().await? {
                Turned(Progress::Completed(result)) => return self.finish(Ending::Completed(result)).await,
                Turned(Progress::Failed(failure)) => return self.finish(Ending::Failed(failure)).await,
                Turned(Progress::ContinueAsNew(input)) => return self.continue_as_new(input).await,
                Turned(Progress::Yielded) => continue,
                Turned(Progress::Waiting) => {}
            }
            if !self.guest().run().is_live() {
                continue;
            }
            self.check_is_waiting_for_something()?;
            self.dispatch().await?;
            match self.wait().await? {
                Waited::News => {}
                Waited::Parked => return Ok(()),
            }
        }
    }

    /// Whether the namespace keeps as much as it may.
    pub(super) fn has_no_room(&self) -> bool {
        self.tenant.account.is_full()
    }

    fn check_is_waiting_for_something(&mut self) -> Result<(), Interruption> {
        if self.guest().run().replay.open_from(0).next().is_some() {
            return Ok(());
        }
        let message = "the workflow waits, but no call of it is open: nothing can ever wake it. It awaits something that \
                       does not come from the host";
        Err(Crash::Trap(Trap::violation(&Violation::new("stalled", message))).into())
    }

    /// The instance. It is away only while it computes, and while it computes nothing else of the activation runs.
    pub(super) fn guest(&mut self) -> &mut Guest {
        self.guest.as_mut().expect("the guest is back from its turn")
    }

    async fn interrupted(&mut self, interruption: Interruption) {
        let run_id = self.info.run_id;
        match interruption {
            Interruption::Lost(Lost) => tracing::debug!(run.id = %run_id, "the run is no longer this host's"),
            Interruption::Stop(stop) => self.stopped(stop).await,
            Interruption::Host(message) => {
                tracing::warn!(run.id = %run_id, %message, "the run could not go on here; it is tried again");
                self.back_off(self.claimed.strikes).await;
            }
            Interruption::Paused => {
                tracing::info!(run.id = %run_id, namespace = %self.info.namespace, "the run is paused");
                let claimed = Claimed { standing: None, ..self.claimed.clone() };
                self.runner.pause(&self.writer, claimed, self.letters.pause).await;
            }
            Interruption::NoRoom => {
                tracing::info!(run.id = %run_id, namespace = %self.info.namespace, "the namespace has no room: the run waits");
                let claimed = Claimed { standing: None, ..self.claimed.clone() };
                self.runner.wait_for_room(&self.writer, claimed).await;
            }
        }
    }

    /// Try again in a while. `strikes`: how often in a row it was the run itself.
    pub(super) async fn back_off(&mut self, strikes: u16) {
        let claimed = Claimed { strikes, standing: None, ..self.claimed.clone() };
        self.runner.back_off(&self.writer, claimed).await;
    }
}
