//! A recorded history delivered to a component, with nothing else: would a run survive it?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio_util::sync::CancellationToken;

use super::program::Code;
use super::{Guest, Progress, Stop};
use crate::history::Divergence;
use crate::model::{Call, CallId, Event, GuestLimits, Payload, RunInfo, Timestamp};
use crate::sandbox::Crash;

/// An instance that is told what happened to a run, one part of its history after the other. Whatever is asked of it holds the
/// thread.
pub struct Replay {
    guest: Guest,
    info: Arc<RunInfo>,
    input: Payload,
    progress: Progress,
    /// When the last event came, in µs: only what is live has a time of its own.
    last: Arc<AtomicU64>,
}

impl Replay {
    /// At the beginning.
    pub fn new(code: &Code, limits: &Arc<GuestLimits>, info: RunInfo, input: Payload) -> Result<Self, Crash> {
        let info = Arc::new(info);
        let last = Arc::new(AtomicU64::new(info.origin.at.as_micros()));
        let at = last.clone();
        let micros = move || i64::try_from(at.load(Ordering::Relaxed)).unwrap_or(i64::MAX);
        let time = Arc::new(move || Timestamp::from_micros(micros()));
        let guest = Guest::new(code, limits.clone(), CancellationToken::new(), info.clone(), time)?;
        Ok(Self { guest, info, input, progress: Progress::Yielded, last })
    }

    /// Deliver the next part. It is the last one if `is_complete`.
    pub fn deliver(&mut self, history: Vec<Event>, is_complete: bool) -> Result<(), Stop> {
        if let Some(event) = history.last() {
            self.last.store(event.at.as_micros(), Ordering::Relaxed);
        }
        self.guest.context().add_recorded(history, is_complete);
        loop {
            if !self.is_over() {
                self.progress = self.guest.turn(&self.info, &self.input)?;
            }
            let is_over = self.is_over();
            if let Some(event) = self.guest.run().unpulled().filter(|_| is_over) {
                return Err(Box::new(Divergence::ended_early(event)).into());
            }
            if is_over || !self.guest.run().has_news() {
                return Ok(());
            }
        }
    }

    /// What it has come to.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The calls that it waits for.
    pub fn open_calls(&mut self) -> Vec<Call> {
        if self.is_over() { Vec::new() } else { self.guest.run().replay.open_from(0).cloned().collect() }
    }

    /// The number of the call that it would make next.
    pub fn next_call(&mut self) -> CallId {
        self.guest.run().replay.next_call()
    }

    /// The number of the line that it would log next.
    pub fn next_line(&mut self) -> u32 {
        self.guest.context().log.count()
    }

    fn is_over(&self) -> bool {
        !matches!(self.progress, Progress::Waiting | Progress::Yielded)
    }
}

/// The same with a history that is there as a whole: what it comes to, or the first event that it does not take.
pub fn replay(
    code: &Code,
    limits: &Arc<GuestLimits>,
    info: RunInfo,
    input: &Payload,
    history: Vec<Event>,
) -> Result<Progress, Stop> {
    let mut replay = Replay::new(code, limits, info, input.clone())?;
    replay.deliver(history, true)?;
    Ok(replay.progress().clone())
}
