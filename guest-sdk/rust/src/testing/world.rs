//! What the run of a test can see and change: the other side of its imports.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde_json::Value;

use super::agenda::{Entry, SharedAgenda};
use super::ask::{Ask, value};
use super::inbox::{Fate, Inbox, Letter, Slot};
use super::{Asked, Line, Started, attempt, limits, rfc3339};
use crate::bindings::windlass::workflow::child::ParentClose;
use crate::bindings::windlass::workflow::event::Event;
use crate::bindings::windlass::workflow::run::Info;
use crate::bindings::windlass::workflow::types;
use crate::log::Level;
use crate::{CancelReason, Failure};

pub(super) struct World {
    pub(super) info: Info,
    /// Its place among the runs of the test.
    pub(super) place: usize,
    /// The run's own time.
    pub(super) now: u64,
    /// When it ended.
    pub(super) closed_at: Option<u64>,
    next_call: u32,
    pub(super) open: BTreeMap<u32, Open>,
    /// What the workflow is to pull next.
    pub(super) event: Option<Event>,
    /// How much it has pulled since it began, or began again.
    pub(super) pulled: u32,
    pub(super) agenda: SharedAgenda,
    pub(super) inbox: Inbox,
    /// Updates that were delivered and have no answer, by the call that took them.
    pub(super) updates: BTreeMap<u32, Slot>,
    seed: u64,
    pub(super) random: ChaCha8Rng,
    pub(super) lines: Vec<Line>,
    pub(super) published: BTreeMap<String, Value>,
    pub(super) tags: BTreeMap<String, String>,
    /// What steps have reported last, by name.
    pub(super) heartbeats: BTreeMap<String, Value>,
    /// While code of a step runs: its call and attempt.
    pub(super) attempt: Option<(u32, u32)>,
}

/// A call that has no outcome yet.
pub(super) struct Open {
    pub(super) ask: Ask,
    pub(super) asked_at: u64,
    /// Of a child that was started: its place among the runs.
    pub(super) child: Option<usize>,
    /// Of a step: the attempt that it is at.
    pub(super) attempt: u32,
    /// Of a step: why its last attempt failed.
    pub(super) last_failure: Option<Failure>,
    /// Of a step: what it has reported last.
    pub(super) heartbeat: Option<Vec<u8>>,
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
        let at = rfc3339::time(world.clock());
        world.lines.push(Line { at, level, call, attempt, message: message.to_owned() });
    })
    .unwrap_or_else(|| no_world("log.write"));
}

/// What only a step may call.
pub(super) fn heartbeat(details: &[u8]) {
    current(|world| {
        let Some((call, _)) = world.attempt else {
            panic!("not-in-this-role: heartbeat.report is for the code of a step, not for a workflow");
        };
        let Some(open) = world.open.get_mut(&call) else { return };
        open.heartbeat = Some(details.to_vec());
        world.heartbeats.insert(open.ask.name().to_owned(), value(details));
    })
    .unwrap_or_else(|| no_world("heartbeat.report"));
}

fn no_world(import: &str) -> ! {
    panic!("{import} has no host here: run the workflow in a test with `windlass::testing::Test`")
}

impl World {
    /// `place`: among the runs that share the agenda.
    pub(super) fn new(started: &Started, place: usize, agenda: SharedAgenda) -> Self {
        let started_at = rfc3339::instant(started.started_at);
        let info = Info {
            namespace: "default".to_owned(),
            run_id: started.run_id.clone(),
            workflow: started.workflow.clone(),
            version: started.version,
            started_at,
            deadline: started.deadline_at.map(rfc3339::instant),
            parent: started.parent_run_id.clone(),
            generation: 0,
        };
        let seed = started.seed.unwrap_or_default();
        Self {
            info,
            place,
            now: started_at,
            closed_at: None,
            next_call: 0,
            open: BTreeMap::new(),
            event: None,
            pulled: 0,
            agenda,
            inbox: Inbox::default(),
            updates: BTreeMap::new(),
            seed,
            random: ChaCha8Rng::seed_from_u64(seed),
            lines: Vec::new(),
            published: BTreeMap::new(),
            tags: BTreeMap::new(),
            heartbeats: BTreeMap::new(),
            attempt: None,
        }
    }

    /// How far time has come, whether or not the run has seen it.
    pub(super) fn clock(&self) -> u64 {
        self.agenda.borrow().clock
    }

    /// It will happen to this run.
    pub(super) fn put(&self, at: u64, entry: Entry) {
        self.agenda.borrow_mut().put(at, self.place, entry);
    }

    /// A call gets its number, and its place in what will happen.
    pub(super) fn ask(&mut self, ask: Ask) -> u32 {
        if self.open.len() >= limits::OPEN_CALLS {
            limits::trap("too-many-calls", format!("{} calls are open, and no more may be", limits::OPEN_CALLS));
        }
        let call = self.next_call;
        self.next_call += 1;
        let now = self.now;
        match &ask {
            Ask::Step { .. } => {
                self.put(now, Entry::Begin { call, attempt: 1 });
                if let Some(total) = attempt::total_timeout(&ask) {
                    self.put(now.saturating_add(total), Entry::TotalTimeout { call });
                }
            }
            Ask::Sleep { duration } => {
                self.put(now.saturating_add(*duration), Entry::Complete { call, outcome: Ok(b"null".to_vec()) });
            }
            Ask::Receive { .. } | Ask::ReceiveUpdate { .. } => self.put(now, Entry::Receive),
            Ask::Send { .. } => self.put(now, Entry::Send { call }),
            Ask::Child { .. } => self.put(now, Entry::StartChild { call }),
        }
        let (child, attempt, last_failure, heartbeat) = (None, 1, None, None);
        self.open.insert(call, Open { ask, asked_at: now, child, attempt, last_failure, heartbeat });
        call
    }

    /// The outcome of a call is no longer wanted.
    pub(super) fn cancel(&mut self, call: u32) {
        if let Some(open) = self.open.remove(&call) {
            self.release(&open);
        }
    }

    /// A child that nobody waits for any more is asked to stop, unless it is to be abandoned.
    fn release(&self, open: &Open) {
        let (Some(child), Ask::Child { options, .. }) = (open.child, &open.ask) else { return };
        if options.parent_close == ParentClose::Cancel {
            self.agenda.borrow_mut().put_now(child, Entry::Cancel(CancelReason::ParentClosed));
        }
    }

    /// As at the end: what is open is cancelled, and what was not answered is not.
    fn let_go(&mut self) {
        for open in std::mem::take(&mut self.open).into_values() {
            self.release(&open);
        }
        for update in std::mem::take(&mut self.updates).into_values() {
            update.replace(Fate::Lost);
        }
    }

    /// The run has ended.
    pub(super) fn close(&mut self) {
        self.let_go();
        self.inbox.close();
        self.closed_at = Some(self.clock());
    }

    /// The run begins again: what outsiders see of it stays, and numbers go on.
    pub(super) fn continue_as_new(&mut self) {
        self.let_go();
        self.info.generation += 1;
        self.pulled = 0;
        // Other numbers than before, and always the same.
        self.random = ChaCha8Rng::seed_from_u64(self.seed);
        self.random.set_stream(u64::from(self.info.generation));
    }

    pub(super) fn answer(&mut self, call: u32, answer: Result<&[u8], &types::Failure>) {
        let Some(update) = self.updates.remove(&call) else {
            let message = format!("no update was delivered to call {call}, or it was answered before");
            limits::trap("no-such-update", message);
        };
        let answer = answer.map(value).map_err(|failure| Failure::from_wit(failure.clone()));
        update.replace(Fate::Answered(answer));
    }

    pub(super) fn publish(&mut self, key: &str, payload: &[u8]) {
        self.published.insert(key.to_owned(), value(payload));
        if self.published.len() > limits::KEYS {
            limits::trap("too-many-keys", format!("more than {} keys are published", limits::KEYS));
        }
    }

    pub(super) fn tag(&mut self, key: &str, value: &str) {
        self.tags.insert(key.to_owned(), value.to_owned());
        if self.tags.len() > limits::TAGS {
            limits::trap("too-many-tags", format!("a run has at most {} tags", limits::TAGS));
        }
    }

    /// Whether something still means anything to the run.
    pub(super) fn wants(&self, entry: &Entry) -> bool {
        let is_open = |call: &u32| self.open.contains_key(call);
        let means_something = match entry {
            Entry::Complete { call, .. }
            | Entry::Begin { call, .. }
            | Entry::TotalTimeout { call }
            | Entry::StartChild { call }
            | Entry::Send { call } => is_open(call),
            Entry::End(attempt) => is_open(&attempt.call),
            Entry::Letter(_) | Entry::Receive | Entry::Cancel(_) => true,
        };
        means_something && self.closed_at.is_none()
    }

    /// The first letter that a call waits for, and the first call that waits for it.
    pub(super) fn receive(&mut self) -> Option<(u32, Letter)> {
        let receivers = self.open.iter().filter_map(|(call, open)| match &open.ask {
            Ask::Receive { name } => Some((name, false, *call)),
            Ask::ReceiveUpdate { name } => Some((name, true, *call)),
            _ => None,
        });
        let receivers: Vec<_> = receivers.collect();
        // A full inbox that nobody reads costs nothing.
        if receivers.is_empty() {
            return None;
        }
        let waits = |letter: &Letter| {
            let is_for =
                |(name, update, _): &&(&String, bool, u32)| **name == letter.name && *update == letter.update.is_some();
            receivers.iter().find(is_for).map(|(_, _, call)| *call)
        };
        self.inbox.take(waits)
    }

    /// Of the step whose code is running.
    pub(super) fn step_name(&self) -> Option<String> {
        let (call, _) = self.attempt?;
        Some(self.open.get(&call)?.ask.name().to_owned())
    }

    pub(super) fn waits_for(&self) -> Vec<Asked> {
        self.open.iter().map(|(call, open)| open.ask.asked(*call)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::agenda::Agenda;

    #[test]
    #[should_panic(expected = "no-such-update: no update was delivered to call 3")]
    fn an_update_is_answered_once() {
        let json =
            r#"{"run_id": "", "workflow": "", "version": 1, "input": null, "started_at": "2000-01-01T00:00:00Z"}"#;
        let mut world = World::new(&serde_json::from_str(json).unwrap(), 0, Agenda::new(0));
        let update = Slot::default();
        world.updates.insert(3, update.clone());
        world.answer(3, Ok(b"7"));
        assert_eq!(*update.borrow(), Fate::Answered(Ok(7.into())));
        world.answer(3, Ok(b"8"));
    }
}
