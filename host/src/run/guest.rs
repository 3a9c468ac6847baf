//! A guest in the workflow role: an instance, and how far it has come.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wasmtime::{AsContextMut, Store};

use super::program::Code;
use crate::history::Divergence;
use crate::imports::bindings::{program, workflow};
use crate::imports::{DescriptionError, RunContext, Time, WorkflowContext, failure, manifest};
use crate::model::{Failure, GuestLimits, Manifest, Payload, RunInfo};
use crate::sandbox::{Computing, Crash, Fuel, SliceOver, Trap, Violation, Watch};

/// An instance in the workflow role.
pub struct Guest {
    store: Store<WorkflowContext>,
    exports: workflow::Workflow,
    started: bool,
    /// Whether it wants to be called again at once.
    has_yielded: bool,
    /// Bytes of its memories and tables at the beginning.
    initial_bytes: usize,
    /// How often in a row it has yielded without pulling an event.
    yields: u32,
}

/// What an instance is assumed to write to of the memory with which it begins: a part of it, and this much at least. The guest
/// of `windlass bench`, in Rust, was measured at 45 KiB while it waits.
const WRITTEN_PART: usize = 16;
const WRITTEN_MIN: usize = 96 << 10;

/// How often in a row a guest may yield without pulling an event.
const YIELDS_MAX: u32 = 1_000;

/// How far a run has come. See `progress` in `wit/program.wit`.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Every event was pulled, and calls are open.
    Waiting,
    /// To be called again at once.
    Yielded,
    /// The end, with the run's result.
    Completed(Payload),
    /// The end, with the reason.
    Failed(Failure),
    /// To be started again with this input and an empty history.
    ContinueAsNew(Payload),
}

/// Why a guest stopped without progress.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// It asked something other than its history says.
    #[error(transparent)]
    Diverged(#[from] Box<Divergence>),
    /// It crashed, or could not be run.
    #[error(transparent)]
    Crash(#[from] Crash),
}

impl Stop {
    fn of(error: &wasmtime::Error, fuel: Fuel) -> Self {
        match error.downcast_ref::<Box<Divergence>>() {
            Some(divergence) => Self::Diverged(divergence.clone()),
            None => Self::Crash(Crash::of(error, fuel)),
        }
    }
}

impl Guest {
    /// A new instance for a run, at the beginning of its history. Holds the thread for as long as it takes to start.
    pub fn new(
        code: &Code,
        limits: Arc<GuestLimits>,
        end: CancellationToken,
        info: Arc<RunInfo>,
        time: Time,
    ) -> Result<Self, Crash> {
        let (watch, fuel) = (Watch::new(end, limits.event_time()), Fuel::Event(limits.event_fuel));
        let context = WorkflowContext::new(limits, watch, info, time);
        Self::instantiate(code, context).map_err(|error| Crash::of(&error, fuel))
    }

    /// The same, on a thread that others need too. `None`: its start takes too long for that.
    pub fn new_in_slice(
        code: &Code,
        limits: Arc<GuestLimits>,
        end: CancellationToken,
        info: Arc<RunInfo>,
        time: Time,
    ) -> Result<Option<Self>, Crash> {
        let (mut watch, fuel) = (Watch::new(end, limits.event_time()), Fuel::Event(limits.event_fuel));
        watch.begin(true);
        match Self::instantiate(code, WorkflowContext::new(limits, watch, info, time)) {
            Err(error) if error.is::<SliceOver>() => Ok(None),
            started => started.map(Some).map_err(|error| Crash::of(&error, fuel)),
        }
    }

    fn instantiate(code: &Code, context: WorkflowContext) -> wasmtime::Result<Self> {
        let fuel = context.limits.event_fuel;
        let hostcall_bytes = context.limits.hostcall_bytes;
        let mut store = Store::new(code.workflow.engine(), context);
        store.limiter(|context| &mut context.limiter);
        store.set_hostcall_fuel(hostcall_bytes);
        store.set_fuel(fuel)?;
        store.epoch_deadline_callback(|mut store| store.data_mut().watch.look());
        store.set_epoch_deadline(1);
        // A component may have code that runs at its start.
        let _computing = Computing::new();
        let exports = code.workflow.instantiate(&mut store)?;
        let initial_bytes = store.data().limiter.bytes();
        Ok(Self { store, exports, started: false, has_yielded: false, initial_bytes, yields: 0 })
    }

    /// What a component says that it holds.
    pub fn describe(code: &Code, limits: &Arc<GuestLimits>) -> Result<Result<Manifest, DescriptionError>, Crash> {
        let watch = Watch::new(CancellationToken::new(), limits.event_time());
        let crash = |error: wasmtime::Error| Crash::of(&error, Fuel::Event(limits.event_fuel));
        let _computing = Computing::new();
        let guest = Self::instantiate(code, WorkflowContext::describing(limits.clone(), watch));
        let mut guest = guest.map_err(crash)?;
        let described = guest.exports.windlass_workflow_program().call_describe(&mut guest.store);
        let described = described.map_err(crash)?;
        Ok(manifest(described, limits))
    }

    /// Go on from a later activation: `end` is its end, and these limits hold from now on.
    pub fn rejoin(&mut self, limits: Arc<GuestLimits>, end: CancellationToken) {
        self.store.set_hostcall_fuel(limits.hostcall_bytes);
        let context = self.store.data_mut();
        context.watch = Watch::new(end, limits.event_time());
        context.set_limits(limits);
    }

    /// Call the guest: `start` the first time, `resume` afterwards. Holds the thread until the guest has come to rest.
    pub fn turn(&mut self, info: &RunInfo, input: &Payload) -> Result<Progress, Stop> {
        self.store.data_mut().watch.begin(false);
        let must_pull = self.started && self.run().has_news();
        let returned = self.call(info, input);
        self.check(returned, must_pull)
    }

    /// The same, on a thread that others need too. `None`: the guest took too long for that, and cannot go on.
    pub fn turn_in_slice(&mut self, info: &RunInfo, input: &Payload) -> Result<Option<Progress>, Stop> {
        self.store.data_mut().watch.begin(true);
        let must_pull = self.started && self.run().has_news();
        let returned = self.call(info, input);
        if returned.as_ref().is_err_and(|error| error.is::<SliceOver>()) {
            return Ok(None);
        }
        self.check(returned, must_pull).map(Some)
    }

    fn call(&mut self, info: &RunInfo, input: &Payload) -> wasmtime::Result<program::Progress> {
        let (event_time, event_fuel) = (self.store.data().limits.event_time(), self.store.data().limits.event_fuel);
        self.store.data_mut().watch.wind_up(event_time);
        self.store.set_fuel(event_fuel)?;
        let _computing = Computing::new();
        let program = self.exports.windlass_workflow_program();
        if std::mem::replace(&mut self.started, true) {
            program.call_resume(self.store.as_context_mut())
        } else {
            program.call_start(self.store.as_context_mut(), &info.workflow, &input.as_bytes().to_vec())
        }
    }

    fn check(&mut self, returned: wasmtime::Result<program::Progress>, must_pull: bool) -> Result<Progress, Stop> {
        let limits = self.store.data().limits.clone();
        let progress = returned.map_err(|error| Stop::of(&error, Fuel::Event(limits.event_fuel)))?;
        let progress = self.check_contract(progress, must_pull).and_then(|progress| check(progress, &limits));
        progress.map_err(|violation| Crash::Trap(Trap::violation(&violation)).into())
    }

    /// What the guest must do besides returning.
    fn check_contract(&mut self, progress: program::Progress, must_pull: bool) -> Result<program::Progress, Violation> {
        let pulled = self.run().take_pulled();
        let yielded = matches!(progress, program::Progress::Yielded);
        self.has_yielded = yielded;
        if must_pull && !pulled && !yielded {
            let message = "the guest came to rest without pulling the event that it was resumed for: \
                           `resume` must call `event.next` at least once";
            return Err(Violation::new("not-pulled", message));
        }
        self.yields = if yielded && !pulled { self.yields + 1 } else { 0 };
        if self.yields > YIELDS_MAX {
            let message = format!("the guest yielded more than {YIELDS_MAX} times without pulling an event");
            return Err(Violation::new("yields-too-often", message));
        }
        Ok(progress)
    }

    /// The run that the guest belongs to.
    pub fn run(&mut self) -> &mut RunContext {
        self.store.data_mut().run().expect("a guest that turns has a run")
    }

    /// All of its store's data.
    pub fn context(&mut self) -> &mut WorkflowContext {
        self.store.data_mut()
    }

    /// The run that it was made for; none if it has no run.
    pub fn info(&self) -> Option<&RunInfo> {
        self.store.data().info()
    }

    /// About how many bytes of the host's memory the instance holds: what it has grown by, and what it is assumed to have
    /// written to of that with which it began, which it shares with all others of its component until then.
    pub fn bytes(&self) -> usize {
        let grown = self.store.data().limiter.bytes() - self.initial_bytes;
        grown + (self.initial_bytes / WRITTEN_PART).max(WRITTEN_MIN)
    }

    /// Whether it was ever called.
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Whether it wants to be called again at once, also if there is nothing to pull.
    pub fn has_yielded(&self) -> bool {
        self.has_yielded
    }
}

fn check(progress: program::Progress, limits: &GuestLimits) -> Result<Progress, Violation> {
    Ok(match progress {
        program::Progress::Waiting => Progress::Waiting,
        program::Progress::Yielded => Progress::Yielded,
        program::Progress::Completed(result) => {
            let payload = Payload::new(result, limits.payload_bytes);
            Progress::Completed(payload.map_err(|error| Violation::new("invalid-result", error))?)
        }
        program::Progress::Failed(reason) => Progress::Failed(failure(reason, limits)?),
        program::Progress::ContinueAsNew(input) => {
            let payload = Payload::new(input, limits.payload_bytes);
            Progress::ContinueAsNew(payload.map_err(|error| Violation::new("invalid-result", error))?)
        }
    })
}
