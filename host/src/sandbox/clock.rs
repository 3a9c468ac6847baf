//! The time that a workflow sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::model::Timestamp;

/// A run's own time, for the clocks of WASI. Moved by the events that the guest pulls, and by nothing else.
#[derive(Clone, Debug, Default)]
pub struct RunClock(Arc<AtomicU64>);

impl RunClock {
    /// From now on it is `time`.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.as_micros(), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl HostWallClock for RunClock {
    fn resolution(&self) -> Duration {
        Duration::from_micros(1)
    }

    fn now(&self) -> Duration {
        self.get()
    }
}

impl HostMonotonicClock for RunClock {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.get().as_nanos()).unwrap_or(u64::MAX)
    }
}
