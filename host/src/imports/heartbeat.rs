//! `windlass:workflow/heartbeat`

use super::StepContext;
use super::bindings::heartbeat::Host;
use super::convert::payload;
use crate::sandbox::Violation;

impl Host for StepContext {
    fn report(&mut self, details: Vec<u8>) -> wasmtime::Result<()> {
        let (length, most) = (details.len(), self.limits.heartbeat_bytes);
        if length > most {
            let message = format!(
                "what the attempt reports of itself has {length} bytes, and {most} are the most (heartbeat_bytes)"
            );
            return Err(Violation::new("payload-too-large", message).into());
        }
        let details = payload(details, &self.limits)?;
        // Whoever listens has the last one only; an attempt that is over has nobody who listens.
        self.heartbeat.send_replace(Some(details));
        Ok(())
    }
}
