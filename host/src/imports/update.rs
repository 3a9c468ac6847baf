//! `windlass:workflow/update`

use super::WorkflowContext;
use super::bindings::types::Failure;
use super::bindings::update::Host;
use super::convert::{failure, name, payload};
use crate::model::{Ask, Outcome};
use crate::sandbox::Violation;

impl Host for WorkflowContext {
    fn receive(&mut self, update: String) -> wasmtime::Result<u32> {
        self.ask(Ask::ReceiveUpdate { name: name(&update)? })
    }

    fn answer(&mut self, id: u32, answer: Result<Vec<u8>, Failure>) -> wasmtime::Result<()> {
        let answer = match answer {
            Ok(result) => Outcome::Ok(payload(result, &self.limits)?),
            Err(reason) => Outcome::Failed(failure(reason, &self.limits)?),
        };
        let run = self.run()?;
        if !run.updates.remove(&id) {
            let message = format!("no update was delivered to call {id}, or it was answered before");
            return Err(Violation::new("no-such-update", message).into());
        }
        // What was answered before an event that is recorded was committed with it or earlier.
        if run.is_live() {
            run.effects.answers.push((id, answer));
        }
        Ok(())
    }
}
