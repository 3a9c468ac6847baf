//! `windlass:workflow/run`

use super::WorkflowContext;
use super::bindings::run::{Host, Info};

impl Host for WorkflowContext {
    fn current(&mut self) -> wasmtime::Result<Info> {
        let info = &self.run()?.info;
        Ok(Info {
            namespace: info.namespace.to_string(),
            run_id: info.run_id.to_string(),
            workflow: info.workflow.to_string(),
            version: info.version,
            started_at: info.started_at.as_micros(),
        })
    }
}
