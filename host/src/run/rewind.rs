//! Where a run was before one of its events: its history is delivered up to there, to the version that it is on.

use super::Stop;
use super::replay::Replay;
use super::trial::{CHUNK_BYTES, TrialBench, TrialError};
use super::turn::HISTORY_CHUNK;
use crate::model::{Ask, Call, Durability, Namespace, RunId, RunInfo};
use crate::sandbox::Crash;
use crate::store::{self, Claimed, Point};

/// Why a run cannot go on from before an event.
#[derive(Debug, thiserror::Error)]
pub enum RewindError {
    /// As of any run that is told its history; or it is in another state.
    #[error(transparent)]
    Trial(#[from] TrialError),
    /// Its history has no such event.
    #[error("{0}")]
    NoSuchEvent(String),
    /// From there, it cannot.
    #[error("{0}")]
    CannotRewind(String),
}

impl TrialBench<'_> {
    /// Where a run was before one of the events of its current history, of which the next one is `next_seq`. `or_next`: also before
    /// that one, which is where it is.
    pub async fn point_before(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        before: u32,
        (next_seq, or_next): (u32, bool),
    ) -> Result<Point, RewindError> {
        let recorded = self.store.recorded_run(namespace, run_id).await?;
        let Claimed { info, input, .. } = recorded.ok_or(store::Error::NoSuchRun)?;
        let first = info.origin.seq;
        let next_seq = next_seq.max(first);
        if before < first || before > next_seq || (before == next_seq && !or_next) {
            return Err(RewindError::NoSuchEvent(which_there_are(&info, next_seq, or_next)));
        }
        let program = self.programs.get(namespace, &info.component, info.version).await.map_err(TrialError::from)?;
        let _place = self.programs.trial_place(namespace).await.map_err(TrialError::from)?;
        // What is not committed is not there: the mode makes no difference.
        let as_told = RunInfo { durability: Durability::Output, ..info.clone() };
        let limits = self.tenant.limits.clone();
        let made = self.compute(namespace, move || Replay::new(&program.code, &limits, as_told, input)).await?;
        let mut replay = made.map_err(|crash| refused(crash.into(), before))?;
        let mut at = first;
        loop {
            let limit = HISTORY_CHUNK.min(before - at);
            let events = match limit {
                0 => Vec::new(),
                _ => self.store.history_page(namespace, run_id, at, limit, CHUNK_BYTES).await?.0,
            };
            at = events.last().map_or(before, |event| event.seq + 1);
            let is_complete = at >= before;
            let delivered = move || {
                let delivered = replay.deliver(events, is_complete);
                (replay, delivered)
            };
            let delivered = self.compute(namespace, delivered).await?;
            replay = delivered.0;
            delivered.1.map_err(|stop| refused(stop, before))?;
            if is_complete {
                break;
            }
        }
        let child = |call: Call| match call.ask {
            Ask::Child { options, .. } => Some((call.id, options)),
            _ => None,
        };
        let children = replay.open_calls().into_iter().filter_map(child).collect();
        let (next_call, next_line) = (replay.next_call(), replay.next_line());
        Ok(Point { info, before, next_seq, next_call, next_line, children })
    }
}

fn which_there_are(info: &RunInfo, next_seq: u32, or_next: bool) -> String {
    let first = info.origin.seq;
    let next = if or_next { format!(", and {next_seq} is the next one") } else { String::new() };
    let since = if info.origin.generation > 0 { " since it last continued as new" } else { "" };
    match next_seq.checked_sub(1).filter(|last| *last >= first) {
        Some(last) => format!("its history has the events {first} to {last}{since}{next}"),
        None => format!("its history has no events{since}{next}"),
    }
}

/// The guest does not come to that event.
fn refused(stop: Stop, before: u32) -> RewindError {
    match stop {
        Stop::Crash(Crash::Host(message)) => TrialError::Host(message).into(),
        Stop::Crash(crash @ Crash::Trap(_)) => RewindError::CannotRewind(format!(
            "told its history up to event {before}, its guest crashes: {crash}. Take an earlier event, or move it to another version first"
        )),
        Stop::Diverged(divergence) => RewindError::CannotRewind(format!(
            "told its history up to event {before}, its guest does not take event {}: {divergence}. Take that event or an earlier one, or \
             move it to another version first",
            divergence.seq
        )),
    }
}

impl From<store::Error> for RewindError {
    fn from(error: store::Error) -> Self {
        Self::Trial(error.into())
    }
}
