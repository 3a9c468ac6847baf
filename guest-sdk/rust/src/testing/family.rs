//! A run that a test started and the runs that came of it, on one clock and one thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::agenda::{Agenda, Entry, SharedAgenda};
use super::ask::{Ask, value};
use super::runner::Runner;
use super::scripts::SharedScripts;
use super::{Script, Started, limits, rfc3339, run_id, workflow};
use crate::bindings::windlass::workflow::child::Options;
use crate::timer::micros;
use crate::{Failure, Result, registry};

/// After so many events it is clear that there will be no end.
pub(super) const ENDLESS: usize = 100_000;

pub(super) type SharedRunner = Rc<RefCell<Runner>>;

pub(super) struct Family {
    pub(super) agenda: SharedAgenda,
    pub(super) runners: RefCell<Vec<SharedRunner>>,
    scripts: SharedScripts,
    jitter: bool,
    /// Children that are only scripts, by id: until when they take signals.
    scripted: RefCell<BTreeMap<String, u64>>,
}

/// A child that a call asks for.
struct Wanted {
    workflow: String,
    input: Vec<u8>,
    options: Options,
    run_id: String,
    /// The id of its parent, and what the parent's randomness comes from.
    parent: (String, u64),
}

impl Family {
    pub(super) fn new(started_at: u64, scripts: SharedScripts, jitter: bool) -> Rc<Self> {
        let (agenda, runners, scripted) = (Agenda::new(started_at), RefCell::default(), RefCell::default());
        Rc::new(Self { agenda, runners, scripts, jitter, scripted })
    }

    /// A new run. `parent`: whom to tell how it ends.
    pub(super) fn add(
        &self,
        workflow: &'static registry::Workflow,
        started: Started,
        parent: Option<(usize, u32)>,
    ) -> SharedRunner {
        let mut runners = self.runners.borrow_mut();
        let mut runner = Runner::new(workflow, started, (runners.len(), self.agenda.clone()), self.scripts.clone());
        if self.jitter {
            runner = runner.with_jitter();
        }
        if let Some((place, call)) = parent {
            runner = runner.with_parent(place, call);
        }
        let runner = Rc::new(RefCell::new(runner));
        runners.push(runner.clone());
        runner
    }

    /// Do all that happens until then.
    pub(super) fn advance(&self, until: u64) {
        let (mut clock, mut still) = (0, 0);
        while self.next(until) {
            let now = self.agenda.borrow().clock;
            still = if now == clock { still + 1 } else { 0 };
            clock = now;
            assert!(still < ENDLESS, "{ENDLESS} things happened in no time: a loop that never sleeps?");
        }
        let mut agenda = self.agenda.borrow_mut();
        agenda.clock = agenda.clock.max(until);
    }

    /// Do the next thing that happens until then, if there is one.
    pub(super) fn next(&self, until: u64) -> bool {
        let taken = {
            let runners = self.runners.borrow();
            let wanted = |run: usize, entry: &Entry| runners[run].borrow().world.borrow().wants(entry);
            self.agenda.borrow_mut().take(until, wanted)
        };
        let Some((place, entry)) = taken else { return false };
        let runner = self.runners.borrow()[place].clone();
        match entry {
            Entry::StartChild { call } => self.start_child(&runner, call),
            Entry::Send { call } => self.send(&runner, call),
            entry => runner.borrow_mut().handle(entry),
        }
        true
    }

    fn complete(&self, at: u64, place: usize, call: u32, outcome: Result<Vec<u8>>) {
        self.agenda.borrow_mut().put(at, place, Entry::Complete { call, outcome });
    }

    fn start_child(&self, parent: &SharedRunner, call: u32) {
        let (place, wanted) = {
            let runner = parent.borrow();
            let world = runner.world.borrow();
            let Some(Ask::Child { workflow, input, options }) = world.open.get(&call).map(|open| &open.ask) else {
                return;
            };
            let seed = runner.history.run.as_ref().and_then(|run| run.seed).unwrap_or_default();
            let (id, (workflow, input)) = (world.info.run_id.clone(), (workflow.clone(), input.clone()));
            let run_id = run_id::of_child(&id, call);
            (world.place, Wanted { workflow, input, options: *options, run_id, parent: (id, seed) })
        };
        let script = self.scripts.borrow().children.get(&wanted.workflow).cloned();
        let declared = workflow::named(&wanted.workflow);
        let now = self.agenda.borrow().clock;
        match (script, declared) {
            (Some(script), _) => self.play_child(&script, wanted, (place, call)),
            (None, Some(declared)) => self.run_child(declared, wanted, parent, (place, call)),
            (None, None) => {
                let message = format!(
                    "no workflow of the test is called `{}`: say what it gives with `test.child(\"{0}\", |input| …)`",
                    wanted.workflow
                );
                self.complete(now, place, call, Err(Failure::new("unknown-workflow", message).fatal()));
            }
        }
    }

    /// A child that is only a script.
    fn play_child(&self, script: &Script, wanted: Wanted, (place, call): (usize, u32)) {
        let (result, takes) = script.run(&wanted.input);
        match &result {
            Ok(payload) => limits::payload(payload),
            Err(failure) => limits::name(&failure.code),
        }
        let now = self.agenda.borrow().clock;
        let ends_at = now.saturating_add(micros(takes));
        self.scripted.borrow_mut().insert(wanted.run_id, ends_at);
        if wanted.options.detached {
            self.complete(now, place, call, Ok(b"null".to_vec()));
        } else {
            self.complete(ends_at, place, call, result);
        }
    }

    /// A child that really runs.
    fn run_child(
        &self,
        declared: &'static registry::Workflow,
        wanted: Wanted,
        parent: &SharedRunner,
        (place, call): (usize, u32),
    ) {
        let Wanted { workflow, input, options, run_id, parent: (parent_id, seed) } = wanted;
        let now = self.agenda.borrow().clock;
        let started = Started {
            seed: Some(run_id::seed(seed, &run_id)),
            run_id,
            workflow,
            version: 1,
            input: value(&input),
            started_at: rfc3339::time(now),
            deadline_at: None,
            parent_run_id: Some(parent_id),
            generation: 0,
        };
        let child = self.add(declared, started, (!options.detached).then_some((place, call)));
        if options.detached {
            self.complete(now, place, call, Ok(b"null".to_vec()));
        } else if let Some(open) = parent.borrow().world.borrow_mut().open.get_mut(&call) {
            open.child = Some(child.borrow().world.borrow().place);
        }
        child.borrow_mut().start(input);
    }

    fn send(&self, sender: &SharedRunner, call: u32) {
        let (place, run_id, name, payload) = {
            let runner = sender.borrow();
            let world = runner.world.borrow();
            let Some(Ask::Send { run_id, name, payload }) = world.open.get(&call).map(|open| &open.ask) else { return };
            (world.place, run_id.clone(), name.clone(), payload.clone())
        };
        let outcome = self.deliver(&run_id, name, payload).map(|()| b"null".to_vec());
        let now = self.agenda.borrow().clock;
        self.complete(now, place, call, outcome);
    }

    /// Put a signal into the inbox of a run.
    fn deliver(&self, run_id: &str, name: String, payload: Vec<u8>) -> Result<()> {
        let ended = || Failure::new("run-ended", format!("run {run_id} has ended")).fatal();
        if let Some(runner) = self.runners.borrow().iter().find(|runner| is_called(runner, run_id)) {
            let runner = runner.borrow();
            let mut world = runner.world.borrow_mut();
            if world.closed_at.is_some() {
                return Err(ended());
            }
            if world.inbox.is_full() {
                let message = format!("the inbox of run {run_id} holds {} signals", limits::LETTERS);
                return Err(Failure::new("inbox-full", message).fatal());
            }
            world.inbox.put(super::inbox::Letter { name, payload, update: None });
            world.put(world.clock(), Entry::Receive);
            return Ok(());
        }
        if let Some(ends_at) = self.scripted.borrow().get(run_id) {
            return if self.agenda.borrow().clock < *ends_at { Ok(()) } else { Err(ended()) };
        }
        let receiver = self.scripts.borrow().runs.get(run_id).cloned();
        match receiver {
            Some(receiver) => (*receiver.borrow_mut())(&name, value(&payload)),
            None => Err(Failure::new("no-such-run", format!("there is no run {run_id} in the test")).fatal()),
        }
    }
}

fn is_called(runner: &SharedRunner, run_id: &str) -> bool {
    runner.borrow().world.borrow().info.run_id == run_id
}
