//! `windlass:workflow/heartbeat`

use super::StepContext;
use super::bindings::heartbeat::Host;
use super::convert::document;

impl Host for StepContext {
    fn report(&mut self, details: Vec<u8>) -> wasmtime::Result<()> {
        let details = document(details, self.limits.heartbeat_bytes.min(self.limits.payload_bytes))?;
        // Whoever listens has the last one only; an attempt that is over has nobody who listens.
        self.heartbeat.send_replace(Some(details));
        Ok(())
    }
}
