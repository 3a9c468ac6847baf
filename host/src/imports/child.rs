//! `windlass:workflow/child`

use super::WorkflowContext;
use super::bindings::child::{Host, Options, ParentClose};
use super::convert::{name, payload};
use crate::model::{Ask, ChildOptions};

impl Host for WorkflowContext {
    fn start(&mut self, workflow: String, input: Vec<u8>, options: Options) -> wasmtime::Result<u32> {
        let (workflow, input) = (name(&workflow)?, payload(input, &self.limits)?);
        let abandon = options.parent_close == ParentClose::Abandon;
        self.ask(Ask::Child { workflow, input, options: ChildOptions { abandon, detached: options.detached } })
    }

    fn run_id(&mut self, id: u32) -> wasmtime::Result<String> {
        Ok(self.run()?.info.child_of(id).to_string())
    }
}
