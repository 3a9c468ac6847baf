//! When the next parked run of this host is due, for the actor that fires timers.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::model::Timestamp;

/// Rings when an earlier time is set than the one that is waited for.
#[derive(Debug)]
pub struct Alarm {
    at_us: AtomicU64,
    rung: Notify,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { at_us: AtomicU64::new(u64::MAX), rung: Notify::new() }
    }
}

impl Alarm {
    /// A run was parked until then; `None`: for ever.
    pub fn set(&self, at: Option<Timestamp>) {
        let Some(at_us) = at.map(Timestamp::as_micros) else { return };
        if at_us < self.at_us.fetch_min(at_us, Ordering::AcqRel) {
            self.rung.notify_one();
        }
    }

    /// Whoever waits has looked: until then it need not be woken. Times that are set from now on count.
    pub fn reset(&self) {
        self.at_us.store(u64::MAX, Ordering::Release);
    }

    /// The earliest time that was set since the reset.
    pub fn earliest(&self) -> Option<Timestamp> {
        let at_us = self.at_us.load(Ordering::Acquire);
        i64::try_from(at_us).ok().filter(|_| at_us != u64::MAX).map(Timestamp::from_micros)
    }

    /// Wait for an earlier time to be set.
    pub async fn rung(&self) {
        self.rung.notified().await;
    }
}
