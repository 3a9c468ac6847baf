//! `windlass:workflow/signal`

use super::WorkflowContext;
use super::bindings::signal::Host;
use super::convert::name;
use crate::model::Ask;

impl Host for WorkflowContext {
    fn receive(&mut self, signal: String) -> wasmtime::Result<u32> {
        self.ask(Ask::Receive { name: name(&signal)? })
    }
}
