//! What whoever writes for a namespace has to know of it: how much it keeps in the database, and what its payloads are sealed under.
//!
//! This host counts what it writes, and says so now and then. The count is about right, and costs no statement of its own: what a
//! host that dies has not said yet is missing, until somebody counts anew (`recount_storage`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::namespaces::{own_limits, total};
use super::waiting::Weight;
use super::{Error, Record, Result, Store};
use crate::model::{GuestLimits, HostId, Namespace, Payload, PayloadKey, Tags};

/// Bytes that a row is taken to weigh beside its documents. `recount_storage` takes the same.
const ROW_BYTES: usize = 100;

/// KiB of one namespace that wait for their commits at this host, at most: whoever writes more waits for itself, and fills nobody
/// else's queue. Some commits' worth, so that the writers always have something to do.
const UNWRITTEN_KIB_MAX: u32 = 8 << 10;

/// The account of one namespace, shared by all who write for it.
#[derive(Debug)]
pub struct Account {
    /// What the database last said that is there.
    saved: AtomicI64,
    /// What this host has written since it last said so.
    unsaved: AtomicI64,
    /// How much there may be.
    most: AtomicU64,
    sealing: RwLock<Sealing>,
    unwritten: Arc<Semaphore>,
}

/// How payloads are to be kept.
#[derive(Clone, Debug)]
enum Sealing {
    /// Not known yet: nothing may be written.
    Unknown,
    Open,
    Under(Arc<PayloadKey>),
}

impl Default for Account {
    /// Of somebody who has no limit and does not seal.
    fn default() -> Self {
        Self::new(Sealing::Open)
    }
}

impl Account {
    fn new(sealing: Sealing) -> Self {
        let (saved, unsaved, most) = (AtomicI64::new(0), AtomicI64::new(0), AtomicU64::new(u64::MAX));
        let unwritten = Arc::new(Semaphore::new(UNWRITTEN_KIB_MAX as usize));
        Self { saved, unsaved, most, sealing: RwLock::new(sealing), unwritten }
    }

    /// What payloads are sealed under from now on, if anything.
    pub fn seal_under(&self, key: Option<Arc<PayloadKey>>) {
        *self.sealing.write().unwrap_or_else(PoisonError::into_inner) = key.map_or(Sealing::Open, Sealing::Under);
    }

    /// What payloads are to be sealed under now, if anything.
    pub(super) fn key(&self) -> Result<Option<Arc<PayloadKey>>> {
        match &*self.sealing.read().unwrap_or_else(PoisonError::into_inner) {
            Sealing::Under(key) => Ok(Some(key.clone())),
            Sealing::Open => Ok(None),
            Sealing::Unknown => {
                Err(Error::Internal(sqlx::Error::Protocol("nobody has asked how payloads are kept".into())))
            }
        }
    }

    /// Wait until so much more of it may wait for its commit: as long as what is returned is kept.
    pub(super) async fn room_to_wait(&self, weight: Weight) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(weight.memory() / 1024).unwrap_or(u32::MAX).saturating_add(1);
        // Nobody closes it.
        self.unwritten.clone().acquire_many_owned(kib.min(UNWRITTEN_KIB_MAX)).await.ok()
    }

    /// So much more is there; or less, if it is negative.
    pub fn add(&self, bytes: i64) {
        self.unsaved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A row more, with documents of so many bytes.
    pub fn add_row(&self, bytes: usize) {
        self.add(signed(ROW_BYTES + bytes));
    }

    /// A run more.
    pub fn add_run(&self, input: &Payload, tags: &Tags) {
        self.add_row(input.len() + tags.stored_bytes());
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

/// The accounts of all namespaces that this host writes for. Shared by its clones.
#[derive(Clone, Debug, Default)]
pub struct Accounts(Arc<Mutex<HashMap<Namespace, Arc<Account>>>>);

impl Accounts {
    /// That of a namespace.
    pub fn of(&self, namespace: &Namespace) -> Arc<Account> {
        let mut accounts = self.lock();
        if let Some(account) = accounts.get(namespace) {
            return account.clone();
        }
        accounts.entry(namespace.clone()).or_insert_with(|| Arc::new(Account::new(Sealing::Unknown))).clone()
    }

    /// Tell the database what was written since the last time, if anything was, and hear what all hosts have written. `limits`: what a namespace may
    /// use that has no limits of its own.
    pub async fn save(&self, store: &Store, host_id: HostId, limits: &GuestLimits) -> Result<()> {
        // Nothing is held on to: see below.
        self.save_written(store, host_id, limits).await?;
        // Those that nobody uses any more: namespaces come and go.
        self.lock().retain(|_, account| Arc::strong_count(account) > 1 || account.unsaved.load(Ordering::Relaxed) != 0);
        Ok(())
    }

    async fn save_written(&self, store: &Store, host_id: HostId, limits: &GuestLimits) -> Result<()> {
        let take = |(namespace, account): (&Namespace, &Arc<Account>)| {
            let bytes = account.unsaved.swap(0, Ordering::Relaxed);
            (bytes != 0).then(|| (namespace.clone(), account.clone(), bytes))
        };
        let written: Vec<_> = self.lock().iter().filter_map(take).collect();
        if written.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = written.iter().map(|(namespace, ..)| &**namespace).collect();
        let bytes: Vec<_> = written.iter().map(|(.., bytes)| *bytes).collect();
        let totals = store.add_storage(host_id, &names, &bytes).await.inspect_err(|_| {
            // It is said the next time. If it was heard all the same, it counts twice.
            written.iter().for_each(|(_, account, bytes)| account.add(*bytes));
        })?;
        let accounts: HashMap<_, _> = written.iter().map(|(namespace, account, _)| (&**namespace, account)).collect();
        for row in totals {
            if let Some(account) = accounts.get(&*row.namespace) {
                account.set(total(row.bytes), limits.with(&own_limits(&row.limits)).storage_bytes);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Namespace, Arc<Account>>> {
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
            Self::Start(start) => signed(ROW_BYTES + start.input.len() + start.tags.stored_bytes()),
            Self::Tags(tags) => signed(tags.stored_bytes()),
            Self::Event(event) => signed(ROW_BYTES + self.bytes() - event.moved_bytes()),
            _ => signed(ROW_BYTES + self.bytes()),
        }
    }
}

impl Tags {
    /// Bytes that stay in the database because of them, about: each is a row, to find its run by.
    pub fn stored_bytes(&self) -> usize {
        self.len() * ROW_BYTES + self.bytes()
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
        let (accounts, namespace) = (Accounts::default(), Namespace::new("tenant").unwrap());
        let account = accounts.of(&namespace);
        account.add(i64::MAX / 2);
        assert!(!account.is_full(), "nothing is known of its limit");
        account.add(-i64::MAX / 2);
        account.set(900, 1_000);
        accounts.of(&namespace).add(99);
        assert!(!account.is_full());
        account.add(1);
        assert!(account.is_full());
        account.add(-500);
        assert!(!account.is_full());
    }
}
