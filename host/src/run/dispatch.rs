//! Setting in motion what the guest asked for.

use std::collections::HashMap;

use super::activate::{Activation, Interruption};
use super::agenda::Due;
use super::steps::{OpenStep, lightened};
use crate::model::{Ask, Call, CallId, Seed};
use crate::store::{Attempt, NewChild, Record};

/// Steps that are looked up at a time: what their attempts have left may be large.
const ATTEMPTS_CHUNK: usize = 256;

/// Calls that are set going at a time. A guest may ask for thousands at once: what that takes of the host's threads is its namespace's,
/// as if the guest computed there.
const CALLS_CHUNK: usize = 256;

/// The last attempts that an earlier activation left a row of.
type Earlier = HashMap<CallId, Attempt>;

/// What is to be begun when all calls were looked at.
#[derive(Default)]
struct Begun {
    children: Vec<Record>,
    steps: Vec<CallId>,
}

impl Activation {
    /// The calls that are open and have not been dispatched in this activation. The guest has come to rest and is live:
    /// what was asked and answered in its history is not among them.
    pub(super) async fn dispatch(&mut self) -> Result<(), Interruption> {
        self.is_held |= self.letters.pause.is_some() || self.has_no_room();
        if self.is_held {
            // What is under way may end, and its results are recorded. Then the run is set aside, and asks again later.
            return Ok(());
        }
        let is_first = !std::mem::replace(&mut self.has_dispatched, true);
        let first = self.dispatched;
        let run = self.guest().run();
        let (calls, next): (Vec<Call>, _) = (run.replay.open_from(first).cloned().collect(), run.replay.next_call());
        let is_told = run.replay.cancel_requested().is_some();
        run.set_dispatched(next);
        self.dispatched = next;
        if is_first
            && !is_told
            && let Some(deadline) = self.info.deadline
        {
            self.agenda.set(deadline, Due::Deadline);
        }
        let may_have = !self.is_new && self.claimed.standing.is_none_or(|standing| standing.has_attempts);
        let mut earlier = if is_first && may_have { self.earlier_attempts(&calls).await? } else { Earlier::new() };
        let (mut begun, mut calls) = (Begun::default(), calls.into_iter());
        if calls.len() <= CALLS_CHUNK {
            calls.for_each(|call| self.set_going(call, &mut earlier, &mut begun));
        } else {
            let (threads, info) = (self.runner.threads.clone(), self.info.clone());
            while calls.len() > 0 {
                let chunk = calls.by_ref().take(CALLS_CHUNK);
                let set_going = || chunk.for_each(|call| self.set_going(call, &mut earlier, &mut begun));
                threads.part(&info.namespace, set_going).await;
            }
        }
        self.writer.append(begun.children).await?;
        let steps = self.whose_turn_it_is(begun.steps).await?;
        self.begin(&steps).await;
        Ok(())
    }

    fn set_going(&mut self, call: Call, earlier: &mut Earlier, begun: &mut Begun) {
        let due = call.due();
        match call.ask {
            Ask::Sleep { .. } => self.agenda.set(due.unwrap_or_default(), Due::Sleep(call.id)),
            Ask::Receive { name } => self.letters.signals.receive(name, call.id),
            Ask::ReceiveUpdate { name } => self.letters.updates.receive(name, call.id),
            Ask::Send { run_id, name, payload } => self.send(call.id, run_id, name, payload),
            Ask::Child { workflow, input, options } => {
                self.letters.await_child(call.id);
                let (run_id, seed) = (self.info.child_of(call.id), Seed::new());
                let child = NewChild { call: call.id, run_id, workflow, input, seed, options };
                begun.children.push(Record::StartChild(child));
            }
            Ask::Step { name, input, options } => {
                let step = OpenStep::new(name, input, options, &self.step_runner.program);
                if let Some(total) = step.total_timeout {
                    self.agenda.set(call.asked_at.after(total), Due::TotalTimeout(call.id));
                }
                begun.steps.extend(self.open(call.id, step, earlier.remove(&call.id)));
            }
        }
    }

    /// What is known of steps that an earlier activation began.
    async fn earlier_attempts(&mut self, calls: &[Call]) -> Result<Earlier, Interruption> {
        let is_step = |call: &&Call| matches!(call.ask, Ask::Step { .. });
        let steps: Vec<CallId> = calls.iter().filter(is_step).map(|call| call.id).collect();
        if steps.is_empty() {
            return Ok(Earlier::new());
        }
        let (mut earlier, info) = (Earlier::new(), &self.info);
        for steps in steps.chunks(ATTEMPTS_CHUNK) {
            for mut attempt in self.runner.store.last_attempts(&info.namespace, info.run_id, steps).await? {
                // The last failure of all is the step's, and goes on as it is.
                if attempt.next_at.is_some() {
                    attempt.failure = attempt.failure.map(lightened);
                }
                earlier.insert(attempt.call, attempt);
            }
        }
        Ok(earlier)
    }

    /// Open a step: at its first attempt, or where an earlier activation left off. An attempt that was interrupted keeps
    /// its number when it is repeated. Returns the call if its attempt is to begin now.
    fn open(&mut self, call: CallId, mut step: OpenStep, earlier: Option<Attempt>) -> Option<CallId> {
        if let Some(last) = earlier {
            step.attempt = last.attempt;
            step.heartbeat = last.heartbeat;
            if let Some(failure) = last.failure {
                step.failed(failure.clone());
                match last.next_at {
                    Some(next_at) => {
                        self.agenda.set(next_at, Due::Retry(call));
                        self.steps.insert(call, step);
                    }
                    // It was the last, and its failure is the step's: it was not delivered.
                    None => self.step_failed(call, last.attempt, failure),
                }
                return None;
            }
            if let Some(turn) = last.next_at {
                step.turn = Some(turn);
                self.agenda.set(turn, Due::Retry(call));
                self.steps.insert(call, step);
                return None;
            }
        }
        self.steps.insert(call, step);
        Some(call)
    }

    /// Begin attempts: one alone right here, several side by side.
    async fn begin(&mut self, calls: &[CallId]) {
        for call in calls {
            let Some(step) = self.steps.get_mut(call) else { continue };
            match calls.len() {
                1 => self.step_runner.begin_here(*call, step).await,
                _ => self.step_runner.begin(*call, step),
            }
        }
    }
}
