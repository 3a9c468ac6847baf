//! Setting in motion what the guest asked for.

use super::activate::{Activation, Interruption};
use super::steps::OpenStep;
use crate::model::{Ask, Call, CallId};
use crate::store::Attempt;

impl Activation {
    /// The calls that are open and have not been dispatched in this activation. The guest has come to rest and is live:
    /// what was asked and answered in its history is not among them.
    pub(super) async fn dispatch(&mut self) -> Result<(), Interruption> {
        let is_first = self.dispatched == 0;
        let first = self.dispatched;
        let run = self.guest().run();
        let (calls, next): (Vec<Call>, _) = (run.replay.open_from(first).cloned().collect(), run.replay.next_call());
        self.dispatched = next;
        let attempts = if is_first && !self.is_new { self.earlier_attempts(&calls).await? } else { Vec::new() };
        for call in calls {
            let due = call.due();
            match call.ask {
                Ask::Sleep { .. } => drop(self.due.insert((due.unwrap_or_default(), call.id))),
                Ask::Receive { name } => self.letters.receive(name, call.id),
                Ask::Step { name, input, options } => {
                    let step = OpenStep::new(name, input, options, &self.step_runner.program);
                    self.begin(call.id, step, &attempts);
                }
            }
        }
        Ok(())
    }

    /// What is known of steps that an earlier activation began.
    async fn earlier_attempts(&mut self, calls: &[Call]) -> Result<Vec<Attempt>, Interruption> {
        let steps: Vec<CallId> =
            calls.iter().filter(|call| matches!(call.ask, Ask::Step { .. })).map(|call| call.id).collect();
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.runner.store.attempts(self.info.run_id, Some(&steps)).await?)
    }

    /// Begin a step: at its first attempt, or where an earlier activation left off. An attempt that was interrupted keeps
    /// its number when it is repeated.
    fn begin(&mut self, call: CallId, mut step: OpenStep, attempts: &[Attempt]) {
        let failed = attempts.iter().filter(|attempt| attempt.call == call && attempt.failure.is_some());
        let last = failed.max_by_key(|attempt| attempt.attempt);
        match last {
            Some(last) => {
                step.attempt = last.attempt + 1;
                // An attempt without a next one was the last, and its failure is the step's: it was not delivered.
                match (last.next_at, &last.failure) {
                    (Some(next_at), _) => drop(self.due.insert((next_at, call))),
                    (None, Some(failure)) => return self.step_failed(call, last.attempt, failure.clone()),
                    (None, None) => {}
                }
            }
            None => self.step_runner.begin(call, &mut step),
        }
        self.steps.insert(call, step);
    }
}
