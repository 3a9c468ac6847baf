//! Guests of parked runs that stay in memory, so that waking them needs no replay. A cache: any of them may go at any time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::Guest;
use crate::model::RunId;

/// The least recently parked goes first.
pub(super) struct Residents {
    guests: Mutex<Guests>,
    count_max: usize,
    bytes_max: usize,
}

struct Guests {
    by_run: LruCache<RunId, Guest>,
    bytes: usize,
}

impl Residents {
    pub(super) fn new(count_max: usize, bytes_max: usize) -> Self {
        Self { guests: Mutex::new(Guests { by_run: LruCache::unbounded(), bytes: 0 }), count_max, bytes_max }
    }

    /// Keep a guest, at the cost of others.
    pub(super) fn put(&self, run_id: RunId, guest: Guest) {
        let mut evicted = Vec::new();
        {
            let mut guests = self.lock();
            guests.bytes += guest.bytes();
            // An older state of the same run is of no use.
            if let Some(older) = guests.by_run.put(run_id, guest) {
                guests.bytes -= older.bytes();
                evicted.push(older);
            }
            while guests.by_run.len() > self.count_max || guests.bytes > self.bytes_max {
                let Some((_, oldest)) = guests.by_run.pop_lru() else { break };
                guests.bytes -= oldest.bytes();
                evicted.push(oldest);
            }
        }
        // To drop a guest takes a while: not under the lock.
        drop(evicted);
    }

    /// The guest of a run, if it is still there.
    pub(super) fn take(&self, run_id: RunId) -> Option<Guest> {
        let mut guests = self.lock();
        let guest = guests.by_run.pop(&run_id)?;
        guests.bytes -= guest.bytes();
        Some(guest)
    }

    fn lock(&self) -> MutexGuard<'_, Guests> {
        // A panic half way may leave a wrong count of bytes, and nothing worse.
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
