//! The end of a run.

use super::activate::{Activation, Interruption};
use crate::model::{CancelReason, Failure, Origin, Payload, RunInfo, code};
use crate::sandbox::{Crash, Trap, Violation};
use crate::store::{Claimed, Close, CloseState, Record};

/// How a guest ended.
pub(super) enum Ending {
    /// With a result.
    Completed(Payload),
    /// With a failure.
    Failed(Failure),
}

/// How often in a row a run may continue as new without having been delivered an event. Counted by the host that is at it.
const LAPS_MAX: u32 = 100;

impl Activation {
    /// Close the run. Its end is committed with, or after, everything that led to it; only then does anyone see it.
    pub(super) async fn finish(&mut self, ending: Ending) -> Result<(), Interruption> {
        let (state, result, code) = match ending {
            Ending::Completed(result) => (CloseState::Completed, result, None),
            Ending::Failed(failure) => {
                let asked = self.guest().run().replay.cancel_requested();
                let obeyed = failure.code == code::CANCELLED && asked.is_some_and(|why| why != CancelReason::Deadline);
                let state = if obeyed { CloseState::Cancelled } else { CloseState::Failed };
                (state, Payload::of(&failure), Some(failure.code))
            }
        };
        let at = self.runner.clock.now().max(self.guest().run().replay.now());
        self.writer.commit(vec![Record::Close(Close { state, result, code, at })]).await?;
        Ok(())
    }

    /// Let the run go on with an empty history. What is open is cancelled, as at the end; what is in its inbox stays there.
    pub(super) async fn continue_as_new(&mut self, input: Payload) -> Result<(), Interruption> {
        let before = self.info.origin;
        let replay = &self.guest().run().replay;
        let (seq, call, at) = (replay.next_seq(), replay.next_call(), replay.now());
        let origin = Origin { generation: before.generation + 1, seq, call, at, told: replay.cancel_requested() };
        let laps = if seq == before.seq { self.claimed.laps + 1 } else { 0 };
        if laps > LAPS_MAX {
            let message = format!("the run has continued as new {laps} times in a row without one event");
            let violation = Violation::new("continues-too-often", message);
            return Err(Crash::Trap(Trap::violation(&violation)).into());
        }
        self.writer.commit(vec![Record::Continue(origin, input.clone())]).await?;
        self.writer.replaced(self.claimed.input.len());
        let info = RunInfo { origin, ..(*self.info).clone() };
        // It enters when this activation has left.
        let tags = self.claimed.tags.clone();
        self.runner.activate(Claimed { info, input, tags, strikes: 0, standing: None, laps });
        Ok(())
    }
}
