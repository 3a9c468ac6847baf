//! `windlass:workflow/run`

use super::WorkflowContext;
use super::bindings::run::{Host, Info};
use crate::model::{Tag, Timestamp};
use crate::sandbox::Violation;

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

    fn tag(&mut self, key: String, value: String) -> wasmtime::Result<()> {
        let tag = Tag::new(&key, &value).map_err(|error| Violation::new("invalid-tag", error))?;
        let run = self.run()?;
        // What was set before an event that is recorded was committed with it or earlier: the run has these tags, or later ones.
        if run.is_live() {
            let is_other = run.tags.set(tag).map_err(|error| Violation::new("too-many-tags", error))?;
            run.effects.has_tagged |= is_other;
        }
        Ok(())
    }
}
