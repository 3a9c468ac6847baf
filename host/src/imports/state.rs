//! `windlass:workflow/state`

use super::WorkflowContext;
use super::bindings::state::Host;
use super::convert::{name, payload};
use crate::sandbox::Violation;

impl Host for WorkflowContext {
    fn publish(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<()> {
        let (key, value) = (name(&key)?, payload(value, &self.limits)?);
        let most = self.limits.published_keys;
        let run = self.run()?;
        run.published_keys.insert(key.clone());
        if run.published_keys.len() > most {
            let message = format!("the guest published more than {most} keys");
            return Err(Violation::new("too-many-keys", message).into());
        }
        // What was published before an event that is recorded was committed with it or earlier.
        if run.is_live() {
            run.effects.published.insert(key, value);
        }
        Ok(())
    }
}
