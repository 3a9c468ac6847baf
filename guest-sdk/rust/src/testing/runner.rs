//! Drives the guest of one run: gives it one event at a time, and does meanwhile what a host does.

use std::cell::RefCell;
use std::rc::Rc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde_json::Value;

use super::agenda::{Entry, SharedAgenda};
use super::ask::{Ask, value};
use super::inbox::Fate;
use super::instance::Instance;
use super::scripts::SharedScripts;
use super::world::World;
use super::{Event, History, Kind, Started, limits, reason, rfc3339};
use crate::bindings::exports::windlass::workflow::program::Progress;
use crate::bindings::windlass::workflow::event::{Completion, Event as Pulled, Outcome};
use crate::{CancelReason, Failure, Result, event, registry};

/// After beginning again so often in a row it is clear that there will be no end.
const RESTARTS: usize = 1_000;

pub(super) struct Runner {
    pub(super) world: Rc<RefCell<World>>,
    workflow: &'static registry::Workflow,
    pub(super) instance: Instance,
    pub(super) scripts: SharedScripts,
    /// Makes waits shorter, if they are to be.
    pub(super) jitter: Option<ChaCha8Rng>,
    /// Who is told how it ends: the place of the run that started it, and the call.
    parent: Option<(usize, u32)>,
    pub(super) history: History,
    pub(super) ended: Option<Result<Value>>,
}

impl Runner {
    /// `place`: among the runs that share the agenda.
    pub(super) fn new(
        workflow: &'static registry::Workflow,
        started: Started,
        (place, agenda): (usize, SharedAgenda),
        scripts: SharedScripts,
    ) -> Self {
        let world = Rc::new(RefCell::new(World::new(&started, place, agenda)));
        let instance = Instance::new(world.clone());
        let history = History { run: Some(started), events: Vec::new(), attempts: Vec::new() };
        Self { world, workflow, instance, scripts, jitter: None, parent: None, history, ended: None }
    }

    /// Make the waits between attempts shorter by chance.
    pub(super) fn with_jitter(self) -> Self {
        let seed = self.history.run.as_ref().and_then(|run| run.seed).unwrap_or_default();
        Self { jitter: Some(ChaCha8Rng::seed_from_u64(seed)), ..self }
    }

    /// Tell this call of that run how it ends.
    pub(super) fn with_parent(self, place: usize, call: u32) -> Self {
        Self { parent: Some((place, call)), ..self }
    }

    /// Begin the workflow, and go on until it waits for something.
    pub(super) fn start(&mut self, input: Vec<u8>) {
        limits::payload(&input);
        let progress = self.enter(input);
        self.note(progress);
    }

    fn enter(&mut self, input: Vec<u8>) -> Progress {
        let start = self.workflow.start;
        self.instance.enter(|| event::start(start(input)))
    }

    /// It happens now.
    pub(super) fn handle(&mut self, entry: Entry) {
        match entry {
            Entry::Complete { call, outcome } => self.complete(call, outcome, None),
            Entry::Begin { call, attempt } => self.begin(call, attempt),
            Entry::End(attempt) => self.end(attempt),
            Entry::TotalTimeout { call } => self.total_timeout(call),
            Entry::Letter(letter) => {
                self.world.borrow_mut().inbox.put(letter);
                self.receive();
            }
            Entry::Receive => self.receive(),
            Entry::Cancel(reason) => self.cancel(reason),
            Entry::StartChild { .. } | Entry::Send { .. } => unreachable!("several runs have a part in it"),
        }
    }

    fn receive(&mut self) {
        let received = self.world.borrow_mut().receive();
        let Some((call, letter)) = received else { return };
        if let Some(update) = letter.update {
            update.replace(Fate::Delivered(call));
            self.world.borrow_mut().updates.insert(call, update);
        }
        self.complete(call, Ok(letter.payload), None);
    }

    /// A call has its outcome: tell the workflow, if it still wants it.
    pub(super) fn complete(&mut self, call: u32, outcome: Result<Vec<u8>>, attempt: Option<u32>) {
        let mut world = self.world.borrow_mut();
        let Some(open) = world.open.remove(&call) else { return };
        let asked = open.ask.asked(call);
        self.history.events.push(Event {
            seq: self.next_seq(),
            at: rfc3339::time(world.clock()),
            kind: asked.kind,
            call: Some(call),
            name: asked.name,
            input: asked.input,
            asked_at: Some(rfc3339::time(open.asked_at)),
            attempt,
            outcome: Some(outcome.as_deref().map(value).map_err(Clone::clone)),
        });
        if matches!(open.ask, Ask::ReceiveUpdate { .. }) {
            // In a replay nobody has sent it, and it is answered all the same.
            world.updates.entry(call).or_default();
        }
        let outcome = match outcome {
            Ok(payload) => Outcome::Ok(payload),
            Err(failure) => Outcome::Failed(failure.into_wit()),
        };
        world.event = Some(Pulled::Completed(Completion { call, outcome }));
        drop(world);
        self.resume();
    }

    /// Ask the workflow to stop, unless it was asked before.
    pub(super) fn cancel(&mut self, reason: CancelReason) {
        if self.cancel_requested().is_some() {
            return;
        }
        let mut world = self.world.borrow_mut();
        self.history.events.push(Event {
            seq: self.next_seq(),
            at: rfc3339::time(world.clock()),
            kind: Kind::CancelRequested,
            call: None,
            name: reason::name(reason).to_owned(),
            input: Value::Null,
            asked_at: None,
            attempt: None,
            outcome: None,
        });
        world.event = Some(Pulled::CancelRequested(reason));
        drop(world);
        self.resume();
    }

    /// Why it was asked to stop, if it was.
    pub(super) fn cancel_requested(&self) -> Option<CancelReason> {
        let request = self.history.events.iter().find(|event| event.kind == Kind::CancelRequested)?;
        reason::named(&request.name)
    }

    fn next_seq(&self) -> u32 {
        u32::try_from(self.history.events.len()).expect("fewer than 2^32 events")
    }

    fn resume(&mut self) {
        let progress = self.instance.enter(event::resume);
        self.note(progress);
    }

    fn note(&mut self, mut progress: Progress) {
        for _ in 0..RESTARTS {
            match progress {
                Progress::Waiting | Progress::Yielded => return,
                Progress::Completed(payload) => {
                    limits::payload(&payload);
                    return self.finish(Ok(payload));
                }
                Progress::Failed(failure) => {
                    limits::name(&failure.code);
                    return self.finish(Err(Failure::from_wit(failure)));
                }
                Progress::ContinueAsNew(input) => {
                    limits::payload(&input);
                    self.world.borrow_mut().continue_as_new();
                    // Nothing of the old guest is left, as on a host.
                    self.instance = Instance::new(self.world.clone());
                    progress = self.enter(input);
                }
            }
        }
        panic!(
            "{RESTARTS} times in a row the workflow continued as new and waited for nothing: a loop that never sleeps?"
        );
    }

    fn finish(&mut self, outcome: Result<Vec<u8>>) {
        self.ended = Some(outcome.as_deref().map(value).map_err(Clone::clone));
        let mut world = self.world.borrow_mut();
        world.close();
        if let Some((parent, call)) = self.parent {
            world.agenda.borrow_mut().put_now(parent, Entry::Complete { call, outcome });
        }
    }
}
