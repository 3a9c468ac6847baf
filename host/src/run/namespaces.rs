//! What each namespace may use, as this host knows it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::future::Cache;

use crate::model::{GuestLimits, Namespace, OwnLimits};
use crate::store::{self, Account, Accounts, Store};

/// A namespace, for whoever does something for it.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// What it may use.
    pub limits: Arc<GuestLimits>,
    /// What whoever writes for it has to know.
    pub account: Arc<Account>,
    /// Its steps whose attempts have to wait for their turn.
    pub limited_steps: Arc<HashSet<String>>,
}

/// The namespaces that this host has to do with.
pub struct Namespaces {
    store: Store,
    limits: GuestLimits,
    /// For those who write for them.
    pub accounts: Accounts,
    tenants: Cache<Namespace, Known>,
    /// How many were made here.
    changes: AtomicU64,
}

/// A namespace as it was found.
#[derive(Clone)]
struct Known {
    tenant: Tenant,
    found: Instant,
    /// Whether somebody is looking again.
    is_renewed: Arc<AtomicBool>,
}

/// How long limits that were changed may still count.
const KEPT: Duration = Duration::from_secs(1);

/// After so long, whoever asks gets what is known, and it is looked up again meanwhile: where much is done for a namespace, nobody waits
/// for that.
const RENEWED_AFTER: Duration = Duration::from_millis(500);

/// Namespaces that are known at a time.
const TENANTS_MAX: u64 = 10_000;

impl Namespaces {
    /// None known yet. `limits`: for those that have none of their own, and the most that any can have.
    pub fn new(store: Store, limits: GuestLimits) -> Self {
        let tenants = Cache::builder().max_capacity(TENANTS_MAX).time_to_live(KEPT).build();
        Self { store, limits, accounts: Accounts::default(), tenants, changes: AtomicU64::new(0) }
    }

    /// What a namespace may use. One that is not there may use what all may: nothing of it can be found anyway.
    pub async fn get(self: &Arc<Self>, namespace: &Namespace) -> Result<Tenant, Arc<store::Error>> {
        // Rarely done, and large: apart from whoever asks.
        let load = Box::pin(self.look_up(namespace));
        let Known { tenant, found, is_renewed } = self.tenants.try_get_with_by_ref(namespace, load).await?;
        if found.elapsed() > RENEWED_AFTER && !is_renewed.swap(true, Ordering::Relaxed) {
            let (namespaces, namespace) = (self.clone(), namespace.clone());
            tokio::spawn(async move { namespaces.renew(&namespace).await });
        }
        Ok(tenant)
    }

    async fn renew(&self, namespace: &Namespace) {
        let before = self.changes.load(Ordering::Acquire);
        match self.look_up(namespace).await {
            Ok(known) => self.tenants.insert(namespace.clone(), known).await,
            Err(error) => tracing::debug!(%error, "whoever asks when what is known is too old looks again"),
        }
        if self.changes.load(Ordering::Acquire) != before {
            // It may be as it was before.
            self.tenants.invalidate(namespace).await;
        }
    }

    async fn look_up(&self, namespace: &Namespace) -> store::Result<Known> {
        let found_at = Instant::now();
        let found = self.store.get_namespace(namespace).await?;
        let (own, stored, steps) = found
            .map_or((OwnLimits::new(), 0, Vec::new()), |found| (found.limits, found.stored_bytes, found.limited_steps));
        let limits = Arc::new(self.limits.with(&own));
        let account = self.accounts.of(namespace);
        account.set(stored, limits.storage_bytes);
        account.seal_under(self.store.payload_key(namespace).await?);
        let limited_steps = Arc::new(steps.into_iter().collect());
        let tenant = Tenant { limits, account, limited_steps };
        Ok(Known { tenant, found: found_at, is_renewed: Arc::default() })
    }

    /// It was changed here: whoever asks next sees it.
    pub async fn forget(&self, namespace: &Namespace) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.tenants.invalidate(namespace).await;
    }

    /// What a namespace may use that has no limits of its own.
    pub fn limits(&self) -> &GuestLimits {
        &self.limits
    }
}
