//! `windlass:workflow/call`

use super::WorkflowContext;
use super::bindings::call::Host;

impl Host for WorkflowContext {
    fn cancel(&mut self, id: u32) -> wasmtime::Result<()> {
        self.run()?.cancel(id);
        Ok(())
    }
}
