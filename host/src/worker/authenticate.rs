//! Whose request it is: one look into a cache and one SHA-256 for each, and no query.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::Semaphore;

use crate::model::{ApiKey, KeyId};
use crate::store::{self, KeyState, KnownKey, Store};

/// How long a host goes by what it knows of a key. A key that is revoked is good for nothing on any host a second later, the time
/// of the query that found it good included.
pub const KEY_KEPT: Duration = Duration::from_millis(900);

/// Keys that are kept, and ids that are none.
const KEYS_MAX: u64 = 10_000;

/// Looking up keys takes at most so many of the pool's connections: strangers who make up ids do not take them from runs.
const LOOKUPS_MAX: usize = 2;

/// Checks keys.
pub struct Authenticator {
    store: Store,
    known: Cache<KeyId, Option<Arc<Known>>>,
    lookups: Semaphore,
    used: Mutex<HashSet<KeyId>>,
}

struct Known {
    key: Arc<KnownKey>,
    /// Whether somebody who has the secret came since it was looked up.
    is_used: AtomicBool,
}

/// Why a key opens nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unauthenticated {
    /// There is no key of its id, or it has another secret: whoever does not have a key learns nothing about keys.
    #[error("there is no such API key")]
    Unknown,
    /// Its time is over.
    #[error("the API key has expired")]
    Expired,
    /// Somebody revoked it.
    #[error("the API key was revoked")]
    Revoked,
    /// The database.
    #[error("the API key could not be looked up: {0}")]
    Store(#[from] Arc<store::Error>),
}

impl Authenticator {
    pub(super) fn new(store: Store) -> Self {
        let known = Cache::builder().max_capacity(KEYS_MAX).time_to_live(KEY_KEPT).build();
        Self { store, known, lookups: Semaphore::new(LOOKUPS_MAX), used: Mutex::default() }
    }

    /// What is known of a key, if it is good.
    pub async fn authenticate(&self, key: &ApiKey) -> Result<Arc<KnownKey>, Unauthenticated> {
        let known = match self.known.get(&key.id()).await {
            Some(known) => known,
            None => self.known.try_get_with(key.id(), self.look_up(key.id())).await?,
        };
        let known = known.ok_or(Unauthenticated::Unknown)?;
        if !known.key.secret_hash.is_of(key) {
            return Err(Unauthenticated::Unknown);
        }
        match known.key.state {
            KeyState::Live => {}
            KeyState::Expired => return Err(Unauthenticated::Expired),
            KeyState::Revoked => return Err(Unauthenticated::Revoked),
        }
        // Once for each look-up: the lock is not on the path of the others.
        if !known.is_used.swap(true, Ordering::Relaxed) {
            self.used().insert(key.id());
        }
        Ok(known.key.clone())
    }

    async fn look_up(&self, key_id: KeyId) -> store::Result<Option<Arc<Known>>> {
        // Never closed; and if it were, nobody would have to wait.
        let _turn = self.lookups.acquire().await.ok();
        let key = self.store.find_key(key_id).await?;
        Ok(key.map(|key| Arc::new(Known { key: Arc::new(key), is_used: AtomicBool::new(false) })))
    }

    /// The keys that were used since this was last asked.
    pub(super) fn take_used(&self) -> Vec<KeyId> {
        self.used().drain().collect()
    }

    fn used(&self) -> MutexGuard<'_, HashSet<KeyId>> {
        // Nothing under the lock can panic half way.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
