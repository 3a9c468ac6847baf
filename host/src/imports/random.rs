//! `windlass:workflow/random`

use rand_chacha::rand_core::Rng as _;

use super::WorkflowContext;
use super::bindings::random::Host;
use crate::sandbox::Violation;

impl Host for WorkflowContext {
    fn bytes(&mut self, length: u32) -> wasmtime::Result<Vec<u8>> {
        let most = self.limits.random_bytes;
        if length > most {
            let message =
                format!("the guest asked for {length} random bytes at once, and {most} are the most (random_bytes)");
            return Err(Violation::new("random-too-long", message).into());
        }
        let mut bytes = vec![0; length as usize];
        self.run()?.random.fill_bytes(&mut bytes);
        Ok(bytes)
    }
}
