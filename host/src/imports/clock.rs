//! `windlass:workflow/clock`

use super::WorkflowContext;
use super::bindings::clock::Host;

impl Host for WorkflowContext {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.run()?.replay.now().as_micros())
    }
}
