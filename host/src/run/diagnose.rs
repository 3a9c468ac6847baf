//! Where a guest asked what its history does not say: it is brought there once more, and stopped in the act.

use super::Stop;
use super::activate::{Activation, Interruption};
use super::turn::HISTORY_CHUNK;
use crate::model::CallId;
use crate::sandbox::Crash;

impl Activation {
    /// The guest's functions when it asks the call of this number, innermost first, where the component carries names. Takes
    /// another replay, and only a run that is to be quarantined needs it: other replays pay nothing for it.
    pub(super) async fn backtrace_of(&mut self, call: CallId) -> Result<Vec<String>, Interruption> {
        let mut guest = self.new_guest().await?;
        guest.run().replay.stop_at(call);
        let (info, input) = (self.info.clone(), self.claimed.input.clone());
        loop {
            let first = guest.run().next_unread();
            let events = self.runner.store.history(&info.namespace, info.run_id, first, HISTORY_CHUNK).await?;
            if events.is_empty() && guest.is_started() {
                return Ok(Vec::new());
            }
            guest.context().add_recorded(events, false);
            let (info, input) = (info.clone(), input.clone());
            let turn = self.runner.threads.long(&self.info.namespace, move || {
                let progress = guest.turn(&info, &input);
                (guest, progress)
            });
            let (back, progress) = turn.await.map_err(|panic| Interruption::Host(panic.to_string()))?;
            guest = back;
            match progress {
                Ok(_) => {}
                Err(Stop::Crash(Crash::Trap(trap))) => return Ok(trap.backtrace),
                Err(_) => return Ok(Vec::new()),
            }
        }
    }
}
