//! What each namespace may use, as this host knows it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

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
    tenants: Cache<Namespace, Tenant>,
}

/// How long limits that were changed may still count.
const KEPT: Duration = Duration::from_millis(500);

/// Namespaces that are known at a time.
const TENANTS_MAX: u64 = 10_000;

impl Namespaces {
    /// None known yet. `limits`: for those that have none of their own, and the most that any can have.
    pub fn new(store: Store, limits: GuestLimits) -> Self {
        let tenants = Cache::builder().max_capacity(TENANTS_MAX).time_to_live(KEPT).build();
        Self { store, limits, accounts: Accounts::default(), tenants }
    }

    /// What a namespace may use. One that is not there may use what all may: nothing of it can be found anyway.
    pub async fn get(&self, namespace: &Namespace) -> Result<Tenant, Arc<store::Error>> {
        // Rarely done, and large: apart from whoever asks.
        let load = Box::pin(async {
            let found = self.store.get_namespace(namespace).await?;
            let (own, stored, steps) = found.map_or((OwnLimits::new(), 0, Vec::new()), |found| {
                (found.limits, found.stored_bytes, found.limited_steps)
            });
            let limits = Arc::new(self.limits.with(&own));
            let account = self.accounts.of(namespace);
            account.set(stored, limits.storage_bytes);
            account.seal_under(self.store.payload_key(namespace).await?);
            let limited_steps = Arc::new(steps.into_iter().collect());
            Ok::<_, store::Error>(Tenant { limits, account, limited_steps })
        });
        self.tenants.try_get_with_by_ref(namespace, load).await
    }

    /// It was changed here: whoever asks next sees it.
    pub async fn forget(&self, namespace: &Namespace) {
        self.tenants.invalidate(namespace).await;
    }

    /// What a namespace may use that has no limits of its own.
    pub fn limits(&self) -> &GuestLimits {
        &self.limits
    }
}
