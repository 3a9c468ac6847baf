//! How much each namespace keeps in the database: this host counts what it writes, and says so now and then.
//!
//! The count is about right, and costs no statement of its own: what a host that dies has not said yet is missing, until somebody
//! counts anew (`recount_storage`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Result;
use super::namespaces::{own_limits, total};
use super::{Record, Store};
use crate::model::{GuestLimits, HostId, Namespace};

/// Bytes that a row is taken to weigh beside its documents. `recount_storage` takes the same.
const ROW_BYTES: usize = 100;

/// The count of one namespace, shared by all who write for it.
#[derive(Debug)]
pub struct Meter {
    /// What the database last said that is there.
    saved: AtomicI64,
    /// What this host has written since it last said so.
    unsaved: AtomicI64,
    /// How much there may be.
    most: AtomicU64,
}

impl Default for Meter {
    /// Nothing is known of what there is: there is room.
    fn default() -> Self {
        Self { saved: AtomicI64::new(0), unsaved: AtomicI64::new(0), most: AtomicU64::new(u64::MAX) }
    }
}

impl Meter {
    /// So much more is there; or less, if it is negative.
    pub fn add(&self, bytes: i64) {
        self.unsaved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A row more, with documents of so many bytes.
    pub fn add_row(&self, bytes: usize) {
        self.add(signed(ROW_BYTES + bytes));
    }

    /// Whether the namespace keeps as much as it may.
    pub fn is_full(&self) -> bool {
        let bytes = self.saved.load(Ordering::Relaxed).saturating_add(self.unsaved.load(Ordering::Relaxed));
        u64::try_from(bytes).is_ok_and(|bytes| bytes >= self.most.load(Ordering::Relaxed))
    }

    /// What the database says that is there, and how much there may be.
    pub fn set(&self, saved: i64, most: u64) {
        self.saved.store(saved, Ordering::Relaxed);
        self.most.store(most, Ordering::Relaxed);
    }
}

/// The counts of all namespaces that this host writes for. Shared by its clones.
#[derive(Clone, Debug, Default)]
pub struct Meters(Arc<Mutex<HashMap<Namespace, Arc<Meter>>>>);

impl Meters {
    /// That of a namespace.
    pub fn of(&self, namespace: &Namespace) -> Arc<Meter> {
        let mut meters = self.lock();
        if let Some(meter) = meters.get(namespace) {
            return meter.clone();
        }
        meters.entry(namespace.clone()).or_default().clone()
    }

    /// Tell the database what was written since the last time, and hear what all hosts have written. `limits`: what a namespace may
    /// use that has no limits of its own.
    pub async fn save(&self, store: &Store, host_id: HostId, limits: &GuestLimits) -> Result<()> {
        let all: Vec<_> = self.lock().iter().map(|(namespace, meter)| (namespace.clone(), meter.clone())).collect();
        let written: Vec<_> = all.iter().map(|(_, meter)| meter.unsaved.swap(0, Ordering::Relaxed)).collect();
        if all.is_empty() {
            return Ok(());
        }
        let names = all.iter().map(|(namespace, _)| &**namespace).collect::<Vec<_>>();
        let totals = store.add_storage(host_id, &names, &written).await.inspect_err(|_| {
            // It is said the next time. If it was heard all the same, it counts twice.
            all.iter().zip(&written).for_each(|((_, meter), bytes)| meter.add(*bytes));
        })?;
        let meters: HashMap<_, _> = all.iter().map(|(namespace, meter)| (&**namespace, meter)).collect();
        for row in totals {
            if let Some(meter) = meters.get(&*row.namespace) {
                meter.set(total(row.bytes), limits.with(&own_limits(&row.limits)).storage_bytes);
            }
        }
        drop(meters);
        drop(all);
        // Those that nobody uses any more: namespaces come and go.
        self.lock().retain(|_, meter| Arc::strong_count(meter) > 1 || meter.unsaved.load(Ordering::Relaxed) != 0);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Namespace, Arc<Meter>>> {
        // Nothing under the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// Bytes that stay in the database because of it, about.
    pub(super) fn stored_bytes(&self) -> i64 {
        match self {
            Self::ReleaseChild(_) | Self::Discard(_) | Self::Park(_) => 0,
            // A row that is there already.
            Self::Close(_) | Self::Answer(..) | Self::Continue(..) => signed(self.bytes()),
            Self::Event(event) => signed(ROW_BYTES + self.bytes() - event.moved_bytes()),
            _ => signed(ROW_BYTES + self.bytes()),
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_full_when_it_keeps_what_it_may_with_what_was_not_said_yet() {
        let (meters, namespace) = (Meters::default(), Namespace::new("tenant").unwrap());
        let meter = meters.of(&namespace);
        meter.add(i64::MAX / 2);
        assert!(!meter.is_full(), "nothing is known of its limit");
        meter.add(-i64::MAX / 2);
        meter.set(900, 1_000);
        meters.of(&namespace).add(99);
        assert!(!meter.is_full());
        meter.add(1);
        assert!(meter.is_full());
        meter.add(-500);
        assert!(!meter.is_full());
    }
}
