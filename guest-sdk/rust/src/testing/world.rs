//! What the run of a test can see and change: the other side of its imports.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde_json::Value;

use super::agenda::{Agenda, Entry};
use super::ask::{Ask, value};
use super::{Asked, Line, Started, attempt, limits, rfc3339};
use crate::bindings::windlass::workflow::event::Event;
use crate::bindings::windlass::workflow::run::Info;
use crate::log::Level;

pub(super) struct World {
    pub(super) info: Info,
    /// The run's own time.
    pub(super) now: u64,
    /// How far time has come, whether or not the run has seen it.
    pub(super) clock: u64,
    next_call: u32,
    pub(super) open: BTreeMap<u32, Open>,
    /// What the workflow is to pull next.
    pub(super) event: Option<Event>,
    pub(super) agenda: Agenda,
    /// Signals that nobody has asked for yet, by name, in the order in which they came.
    pub(super) inbox: Vec<(String, Vec<u8>)>,
    pub(super) random: ChaCha8Rng,
    pub(super) lines: Vec<Line>,
    pub(super) published: BTreeMap<String, Value>,
    /// While code of a step runs: its call and attempt.
    pub(super) attempt: Option<(u32, u32)>,
}

/// A call that has no outcome yet.
pub(super) struct Open {
    pub(super) ask: Ask,
    pub(super) asked_at: u64,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<RefCell<World>>>> = const { RefCell::new(None) };
}

/// Change over to the world of another run, or back.
pub(super) fn swap(other: &mut Option<Rc<RefCell<World>>>) {
    CURRENT.with_borrow_mut(|current| std::mem::swap(current, other));
}

/// The world of the run whose code is running, if any.
pub(super) fn current<T>(what: impl FnOnce(&mut World) -> T) -> Option<T> {
    CURRENT.with_borrow(Clone::clone).map(|world| what(&mut world.borrow_mut()))
}

/// What only a workflow may call.
pub(super) fn with<T>(import: &str, what: impl FnOnce(&mut World) -> T) -> T {
    current(|world| {
        if world.attempt.is_some() {
            attempt::refuse(format_args!("not-in-this-role: {import} is for a workflow, not for the code of a step"));
        }
        what(world)
    })
    .unwrap_or_else(|| no_world(import))
}

/// What workflows and steps may call.
pub(super) fn log(level: Level, message: &str) {
    current(|world| {
        let (call, attempt) = world.attempt.unzip();
        let at = rfc3339::time(world.clock);
        world.lines.push(Line { at, level, call, attempt, message: message.to_owned() });
    })
    .unwrap_or_else(|| no_world("log.write"));
}

fn no_world(import: &str) -> ! {
    panic!("{import} has no host here: run the workflow in a test with `windlass::testing::Test`")
}

impl World {
    pub(super) fn new(started: &Started, namespace: &str) -> Self {
        let started_at = rfc3339::instant(started.started_at);
        let info = Info {
            namespace: namespace.to_owned(),
            run_id: started.run_id.clone(),
            workflow: started.workflow.clone(),
            version: started.version,
            started_at,
        };
        Self {
            info,
            now: started_at,
            clock: started_at,
            next_call: 0,
            open: BTreeMap::new(),
            event: None,
            agenda: Agenda::default(),
            inbox: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(started.seed.unwrap_or_default()),
            lines: Vec::new(),
            published: BTreeMap::new(),
            attempt: None,
        }
    }

    /// A call gets its number, and its place in what will happen.
    pub(super) fn ask(&mut self, ask: Ask) -> u32 {
        if self.open.len() >= limits::OPEN_CALLS {
            limits::trap("too-many-calls", format!("{} calls are open, and no more may be", limits::OPEN_CALLS));
        }
        let call = self.next_call;
        self.next_call += 1;
        let (at, entry) = match &ask {
            Ask::Step { .. } => (self.now, Entry::Begin { call, attempt: 1 }),
            Ask::Sleep { duration } => (self.now.saturating_add(*duration), Entry::Due { call }),
            Ask::Receive { .. } => (self.now, Entry::Receive),
        };
        self.agenda.put(at, entry);
        self.open.insert(call, Open { ask, asked_at: self.now });
        call
    }

    pub(super) fn publish(&mut self, key: &str, payload: &[u8]) {
        self.published.insert(key.to_owned(), value(payload));
        if self.published.len() > limits::KEYS {
            limits::trap("too-many-keys", format!("more than {} keys are published", limits::KEYS));
        }
    }

    /// The next thing that happens, at `until` or before. Time has come that far then.
    pub(super) fn next(&mut self, until: u64) -> Option<Entry> {
        let open = &self.open;
        let wanted = |entry: &Entry| match entry {
            Entry::Due { call } | Entry::Begin { call, .. } => open.contains_key(call),
            Entry::End(attempt) => open.contains_key(&attempt.call),
            Entry::Send { .. } | Entry::Receive | Entry::Cancel => true,
        };
        let (at, entry) = self.agenda.take(until, wanted)?;
        self.clock = self.clock.max(at);
        Some(entry)
    }

    /// The first signal that a call waits for, and the first call that waits for it.
    pub(super) fn receive(&mut self) -> Option<(u32, Vec<u8>)> {
        let receiver = |name: &str| {
            let waits = |open: &Open| matches!(&open.ask, Ask::Receive { name: wanted } if wanted == name);
            self.open.iter().find(|(_, open)| waits(open)).map(|(call, _)| *call)
        };
        let found = self.inbox.iter().enumerate().find_map(|(place, (name, _))| Some((place, receiver(name)?)));
        let (place, call) = found?;
        Some((call, self.inbox.remove(place).1))
    }

    /// Of the step whose code is running.
    pub(super) fn step_name(&self) -> Option<String> {
        let (call, _) = self.attempt?;
        Some(self.open.get(&call)?.ask.asked(call).name)
    }

    pub(super) fn waits_for(&self) -> Vec<Asked> {
        self.open.iter().map(|(call, open)| open.ask.asked(*call)).collect()
    }
}
