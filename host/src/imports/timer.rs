//! `windlass:workflow/timer`

use super::WorkflowContext;
use super::bindings::timer::Host;
use super::convert::duration;
use crate::model::Ask;

impl Host for WorkflowContext {
    fn sleep(&mut self, micros: u64) -> wasmtime::Result<u32> {
        self.ask(Ask::Sleep { duration: duration(micros)? })
    }
}
