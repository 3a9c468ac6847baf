//! `windlass:workflow/signal`

use super::WorkflowContext;
use super::bindings::signal::Host;
use super::convert::{name, payload};
use crate::model::Ask;
use crate::sandbox::Violation;

impl Host for WorkflowContext {
    fn receive(&mut self, signal: String) -> wasmtime::Result<u32> {
        self.ask(Ask::Receive { name: name(&signal)? })
    }

    fn send(&mut self, run_id: String, signal: String, body: Vec<u8>) -> wasmtime::Result<u32> {
        let run_id = run_id.parse().map_err(|_| {
            let message = format!("`{}` is no id of a run", run_id.escape_debug());
            Violation::new("invalid-run-id", message)
        })?;
        let (name, payload) = (name(&signal)?, payload(body, &self.limits)?);
        self.ask(Ask::Send { run_id, name, payload })
    }
}
