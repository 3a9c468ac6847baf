//! `windlass:workflow/run`

use super::WorkflowContext;
use super::bindings::run::{Host, Info};
use crate::model::Timestamp;

impl Host for WorkflowContext {
    fn current(&mut self) -> wasmtime::Result<Info> {
        let info = &self.run()?.info;
        let began = info.began();
        Ok(Info {
            namespace: info.namespace.to_string(),
            run_id: began.run_id.to_string(),
            workflow: info.workflow.to_string(),
            version: info.version,
            started_at: began.started_at.as_micros(),
            deadline: began.deadline.map(Timestamp::as_micros),
            parent: info.parent.map(|(parent, _)| parent.to_string()),
            generation: info.origin.generation,
        })
    }

    fn history_length(&mut self) -> wasmtime::Result<u32> {
        let run = self.run()?;
        Ok(run.replay.next_seq() - run.info.origin.seq)
    }
}
