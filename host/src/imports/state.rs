//! `windlass:workflow/state`

use super::WorkflowContext;
use super::bindings::state::Host;
use super::convert::{name, payload};

impl Host for WorkflowContext {
    fn publish(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<()> {
        let (key, value) = (name(&key)?, payload(value, &self.limits)?);
        let limits = self.limits.clone();
        let run = self.run()?;
        let is_live = run.is_live();
        let replaced = run.usage.publish(&key, value.len(), &limits, is_live)?;
        // What was published before an event that is recorded was committed with it or earlier.
        if is_live {
            run.effects.replaced_bytes += replaced;
            // Of two that were published one right after the other, the first is never written.
            if let Some(unseen) = run.effects.published.insert(key, value) {
                run.effects.replaced_bytes -= unseen.len().min(run.effects.replaced_bytes);
            }
        }
        Ok(())
    }
}
