//! The database's time, without asking it each time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::model::Timestamp;

/// Counts on from what the database last said. Set by every heartbeat; shared by its clones.
#[derive(Clone, Debug)]
pub struct DatabaseClock {
    /// Where this host's monotonic clock is counted from.
    origin: Instant,
    /// The database's time at the origin, in microseconds since 1970.
    offset_us: Arc<AtomicI64>,
}

impl DatabaseClock {
    /// The database said `now`, just now.
    pub fn new(now: Timestamp) -> Self {
        let clock = Self { origin: Instant::now(), offset_us: Arc::default() };
        clock.set(now);
        clock
    }

    /// The database said `now`, just now.
    pub fn set(&self, now: Timestamp) {
        let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        self.offset_us.store(now_us.saturating_sub(self.elapsed_us()), Ordering::Relaxed);
    }

    /// What the database would say now.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.offset_us.load(Ordering::Relaxed).saturating_add(self.elapsed_us()))
    }

    fn elapsed_us(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}
