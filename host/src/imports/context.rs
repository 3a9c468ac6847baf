//! What a call from a guest may reach: the data of its store.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use super::usage::Usage;
use crate::history::{Delivery, Replay};
use crate::model::{
    Ask, Call, CallId, Durability, Event, EventKind, GuestLimits, Level, Name, Outcome, Payload, RunInfo, Seed, Tags,
    Timestamp,
};
use crate::sandbox::{Http, Limiter, LogBuffer, RunClock, StepWasi, Stream, Violation, Watch, WorkflowWasi};

/// The database's time, as this host knows it.
pub type Time = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The data of a store in the workflow role.
pub struct WorkflowContext {
    /// What the guest may use.
    pub limits: Arc<GuestLimits>,
    /// What it has used of it.
    pub limiter: Limiter,
    /// Stops it when it computes for too long, or when its activation is over.
    pub watch: Watch,
    /// Its lines.
    pub log: LogBuffer,
    wasi: WorkflowWasi,
    run: Option<RunContext>,
}

/// The part of it that belongs to a run.
pub struct RunContext {
    pub(super) info: Arc<RunInfo>,
    pub(super) random: ChaCha8Rng,
    /// How far the guest has come.
    pub replay: Replay,
    /// Events of the history that are to be delivered again.
    recorded: VecDeque<Event>,
    /// Whether there is no more history than that.
    history_is_complete: bool,
    /// What happened and is to be delivered for the first time.
    /// What has happened and was not pulled.
    pub live: VecDeque<Delivery>,
    /// Whether an event must be committed before the guest sees it.
    is_strict: bool,
    /// Whether the guest has pulled since it was last called.
    pulled: bool,
    pub(super) usage: Usage,
    /// What it is found by: all that were ever set, also by what is being replayed.
    pub(super) tags: Tags,
    /// Calls with a smaller number may be under way by now; of the others nobody knows yet.
    dispatched: CallId,
    /// Calls that an update was delivered to and that were not answered.
    pub(super) updates: BTreeSet<CallId>,
    clock: RunClock,
    time: Time,
    /// What the guest did since the activation last looked.
    pub effects: Effects,
}

/// What a guest did that the host must act on.
#[derive(Debug, Default)]
pub struct Effects {
    /// Delivered for the first time: to be recorded.
    pub events: Vec<Event>,
    /// No longer wanted: to be stopped. With what had come for it and was not pulled; a signal goes back to the inbox.
    pub cancelled: Vec<(Call, Option<Delivery>)>,
    /// To be shown to outsiders.
    pub published: BTreeMap<Name, Payload>,
    /// Bytes of the values that these replace.
    pub replaced_bytes: usize,
    /// Whether the run has other tags now.
    pub has_tagged: bool,
    /// Answers to updates: by the call that each was delivered to.
    pub answers: Vec<(CallId, Outcome)>,
    /// Rows of the inbox that mean nothing any more.
    pub discarded: Vec<i64>,
}

impl WorkflowContext {
    /// For a guest that is only asked to describe itself.
    pub fn describing(limits: Arc<GuestLimits>, watch: Watch) -> Self {
        let log = LogBuffer::new(&limits);
        let wasi = WorkflowWasi::new(&limits, &RunClock::default(), Seed([0; 16]), &log);
        Self { limiter: Limiter::new(&limits), limits, watch, log, wasi, run: None }
    }

    /// For a run, at its beginning.
    pub fn new(limits: Arc<GuestLimits>, watch: Watch, info: Arc<RunInfo>, time: Time) -> Self {
        let log = LogBuffer::new(&limits);
        let clock = RunClock::default();
        clock.set(info.origin.at);
        let seed = info.seed.of_generation(info.origin.generation);
        let wasi = WorkflowWasi::new(&limits, &clock, seed, &log);
        let run = RunContext {
            random: Stream::Workflow.of(seed),
            replay: Replay::new(info.origin, limits.open_calls),
            recorded: VecDeque::new(),
            history_is_complete: false,
            live: VecDeque::new(),
            is_strict: info.durability == Durability::Strict,
            pulled: false,
            usage: Usage::default(),
            tags: Tags::default(),
            dispatched: info.origin.call,
            updates: BTreeSet::new(),
            clock,
            time,
            effects: Effects::default(),
            info,
        };
        Self { limiter: Limiter::new(&limits), limits, watch, log, wasi, run: Some(run) }
    }

    /// The run that the guest belongs to. Without one, the guest is describing itself and may not ask for anything.
    pub fn run(&mut self) -> Result<&mut RunContext, Violation> {
        self.run.as_mut().ok_or_else(no_run)
    }

    /// From now on these count. What the guest has already stays.
    pub fn set_limits(&mut self, limits: Arc<GuestLimits>) {
        self.limiter.set(&limits);
        if let Some(run) = &mut self.run {
            run.replay.set_open_max(limits.open_calls);
        }
        self.limits = limits;
    }

    /// Where the history of its run begins; none if it has no run.
    pub fn info(&self) -> Option<&RunInfo> {
        self.run.as_ref().map(|run| &*run.info)
    }

    /// The guest asks: the call gets its number.
    pub(super) fn ask(&mut self, ask: Ask) -> wasmtime::Result<CallId> {
        let run = self.run.as_mut().ok_or_else(no_run)?;
        let is_live = run.is_live();
        run.usage.ask(&ask, &self.limits, is_live)?;
        let asked = run.replay.ask(ask);
        asked.map_err(|error| Violation::new("too-many-calls", error).into())
    }

    /// The guest pulls: what comes next, if anything.
    pub(super) fn next(&mut self) -> wasmtime::Result<Option<Event>> {
        self.watch.wind_up(self.limits.event_time());
        let run = self.run.as_mut().ok_or_else(no_run)?;
        run.pulled = true;
        let event = run.next(&self.limits)?;
        let (is_live, length) = (run.is_live(), run.replay.next_seq() - run.info.origin.seq);
        // Counted on every replay as well: the n-th line of a run is the n-th line for ever.
        if event.is_some() && length == self.limits.history_warning {
            let message =
                format!("the history has {length} events, and a replay takes time in proportion: continue as new");
            self.log.write(Level::Warn, &message);
        }
        if is_live {
            self.log.mute(false);
        }
        Ok(event)
    }

    /// Deliver these again, after what is left of earlier ones. `is_complete`: the history ends with them.
    pub fn add_recorded(&mut self, events: impl IntoIterator<Item = Event>, is_complete: bool) {
        let Some(run) = &mut self.run else { return };
        run.recorded.extend(events);
        run.history_is_complete = is_complete;
        let is_live = run.is_live();
        self.log.mute(!is_live);
    }
}

impl RunContext {
    fn next(&mut self, limits: &GuestLimits) -> wasmtime::Result<Option<Event>> {
        if let Some(event) = self.recorded.pop_front() {
            self.pull(&event)?;
            return Ok(Some(event));
        }
        if !self.history_is_complete || self.is_strict {
            return Ok(None);
        }
        self.check_history(limits)?;
        let Some(event) = self.record_next() else { return Ok(None) };
        self.pull(&event)?;
        self.effects.events.push(event.clone());
        Ok(Some(event))
    }

    fn pull(&mut self, event: &Event) -> wasmtime::Result<()> {
        self.replay.deliver(event)?;
        self.usage.delivered(event);
        self.clock.set(event.at);
        if let EventKind::Completed { call: Call { id, ask: Ask::ReceiveUpdate { .. }, .. }, .. } = &event.kind {
            self.updates.insert(*id);
        }
        Ok(())
    }

    /// Whether what has happened, if anything has, may become an event.
    pub fn check_history(&self, limits: &GuestLimits) -> Result<(), Violation> {
        if self.live.is_empty() {
            return Ok(());
        }
        self.usage.check_history(self.replay.next_seq() - self.info.origin.seq, limits)
    }

    /// What earlier generations of the run have published, by the length of the values.
    pub fn set_published(&mut self, published: BTreeMap<Name, usize>) {
        self.usage.set_published(published);
    }

    /// What the run was found by when this host took it up: set at its start, or by its workflow.
    pub fn set_tags(&mut self, tags: Tags) {
        self.tags = tags;
    }

    /// What it is to be found by now.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// The activation has set in motion what was asked before this call, or nothing yet.
    pub fn set_dispatched(&mut self, next: CallId) {
        self.dispatched = next;
    }

    /// Whether the guest has seen all of its history: what it does now, it does for the first time.
    pub fn is_live(&self) -> bool {
        self.recorded.is_empty() && self.history_is_complete
    }

    /// The next event of the history that the guest has not pulled.
    pub fn unpulled(&self) -> Option<&Event> {
        self.recorded.front()
    }

    /// Something happened: the guest gets it when it next pulls.
    pub fn deliver(&mut self, delivery: Delivery) {
        self.live.push_back(delivery);
    }

    /// The next thing that happened, as the event that it becomes. `None` if there is nothing, or nothing that the guest
    /// still wants. Whoever takes it must see to it that the guest gets it next: in strict mode, by
    /// [`add_recorded`](WorkflowContext::add_recorded) after it was committed.
    pub fn record_next(&mut self) -> Option<Event> {
        let now = (self.time)();
        while let Some(delivery) = self.live.pop_front() {
            let letter = delivery.inbox();
            match self.replay.event(delivery, now) {
                Some(event) => return Some(event),
                None => self.effects.discarded.extend(letter),
            }
        }
        None
    }

    /// Whether nothing has happened that was not pulled.
    pub fn is_quiet(&self) -> bool {
        self.recorded.is_empty() && self.live.is_empty()
    }

    /// Whether there is something to pull.
    pub fn has_news(&self) -> bool {
        !self.recorded.is_empty() || (self.history_is_complete && !self.is_strict && !self.live.is_empty())
    }

    /// The number of the first event that was not read from the history.
    pub fn next_unread(&self) -> u32 {
        self.replay.next_seq() + u32::try_from(self.recorded.len()).unwrap_or(u32::MAX)
    }

    /// Whether the guest has pulled since this was last asked.
    pub fn take_pulled(&mut self) -> bool {
        std::mem::take(&mut self.pulled)
    }

    pub(super) fn cancel(&mut self, id: CallId) {
        let Some(mut call) = self.replay.cancel(id) else { return };
        self.usage.closed(&call.ask);
        match &mut call.ask {
            // An earlier activation may have started it. Of it nothing but its number is wanted: a guest can ask and cancel all
            // the time, and what it hands over must not pile up.
            Ask::Child { input, .. } => *input = Payload::null(),
            // Nobody has heard of it yet.
            _ if id >= self.dispatched => return,
            _ => {}
        }
        let came = self.live.iter().position(|delivery| delivery.call() == Some(id));
        let came = came.and_then(|index| self.live.remove(index));
        self.effects.cancelled.push((call, came));
    }
}

fn no_run() -> Violation {
    let message = "`describe` is about the component: there is no run whose clock, calls or state it could use";
    Violation::new("no-run", message)
}

impl WasiView for WorkflowContext {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi.ctx, table: &mut self.wasi.table }
    }
}

/// The data of a store in the step role.
pub struct StepContext {
    /// What the guest has used.
    pub limiter: Limiter,
    /// Its lines.
    pub log: LogBuffer,
    pub(super) limits: Arc<GuestLimits>,
    pub(super) heartbeat: watch::Sender<Option<Payload>>,
    wasi: StepWasi,
    http: Http,
}

impl StepContext {
    /// For one attempt, whose lines go into `log`, and its signs of life into `heartbeat`.
    pub fn new(
        limits: Arc<GuestLimits>,
        log: LogBuffer,
        http: Http,
        heartbeat: watch::Sender<Option<Payload>>,
    ) -> Self {
        Self { limiter: Limiter::new(&limits), wasi: StepWasi::new(&limits, &log), limits, log, heartbeat, http }
    }
}

impl WasiView for StepContext {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi.ctx, table: &mut self.wasi.table }
    }
}

impl WasiHttpView for StepContext {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http.ctx, table: &mut self.wasi.table, hooks: &mut self.http.hooks }
    }
}
