//! A recorded history delivered to a component, with no database: would a run survive it?

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::program::Code;
use super::{Guest, Progress, Stop};
use crate::history::Divergence;
use crate::model::{Event, GuestLimits, Payload, RunInfo};

/// Deliver a history to a new instance, and nothing else. What it comes to, or the first event that it does not take. Holds the
/// thread.
pub fn replay(
    code: &Code,
    limits: &Arc<GuestLimits>,
    info: RunInfo,
    input: &Payload,
    history: Vec<Event>,
) -> Result<Progress, Stop> {
    let info = Arc::new(info);
    // Only what is live has a time of its own.
    let last = history.last().map_or(info.origin.at, |event| event.at);
    let time = Arc::new(move || last);
    let mut guest = Guest::new(code, limits.clone(), CancellationToken::new(), info.clone(), time)?;
    guest.context().add_recorded(history, true);
    loop {
        let progress = guest.turn(&info, input)?;
        let is_over = !matches!(progress, Progress::Waiting | Progress::Yielded);
        if let Some(event) = guest.run().unpulled().filter(|_| is_over) {
            return Err(Box::new(Divergence::ended_early(event)).into());
        }
        if is_over || !guest.run().has_news() {
            return Ok(progress);
        }
    }
}
