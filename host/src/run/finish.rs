//! The end of a run.

use super::activate::{Activation, Interruption};
use crate::model::{Failure, Payload, code};
use crate::store::{CloseState, Record};

/// How a guest ended.
pub(super) enum Ending {
    /// With a result.
    Completed(Payload),
    /// With a failure.
    Failed(Failure),
}

impl Activation {
    /// Close the run. Its end is committed with, or after, everything that led to it; only then does anyone see it.
    pub(super) async fn finish(&mut self, ending: Ending) -> Result<(), Interruption> {
        let (state, result) = match ending {
            Ending::Completed(result) => (CloseState::Completed, result),
            Ending::Failed(failure) => {
                let obeyed = failure.code == code::CANCELLED && self.guest().run().replay.cancel_requested();
                let state = if obeyed { CloseState::Cancelled } else { CloseState::Failed };
                (state, Payload::of(&failure))
            }
        };
        self.writer.commit(vec![Record::Close(state, result)]).await?;
        Ok(())
    }
}
