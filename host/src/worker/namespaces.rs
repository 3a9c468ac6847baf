//! Namespaces, as the API asks for them.

use std::sync::Arc;

use super::Host;
use crate::model::{GuestLimits, LimitError, Namespace, RetentionChange, RetentionError, Who};
use crate::run::{SecretError, Tenant};
use crate::store::{self, NamespaceSummary};

/// Why a namespace is not as it was asked to be.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// A limit that it cannot have.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// How long it is to keep what has ended.
    #[error(transparent)]
    Retention(#[from] RetentionError),
    /// What it has archived is to be exported, and this host would not know where to.
    #[error("this host has no place to write archived runs to: start it with --archive-store")]
    NoArchiveStore,
    /// Its payloads are to be sealed, and cannot be.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Host {
    /// Create a namespace or change its limits: `None` is the host's limit again, and what is not named stays; and whether its
    /// payloads are sealed from now on, and how long it keeps what has ended. Other hosts follow within a second. Returns whether it is
    /// a new one.
    pub async fn put_namespace(
        &self,
        namespace: &Namespace,
        limits: &[(String, Option<u64>)],
        seal_payloads: Option<bool>,
        retention: &RetentionChange,
        who: &Who,
    ) -> Result<bool, NamespaceError> {
        retention.check()?;
        if retention.export_archive == Some(true) && !self.config.archive.can_export() {
            return Err(NamespaceError::NoArchiveStore);
        }
        if seal_payloads == Some(true) {
            self.secrets.check()?;
        }
        for (name, number) in limits {
            self.default_limits().check(name, number.unwrap_or_default())?;
        }
        let is_new = self.store.put_namespace(namespace, limits, who).await?;
        if let Some(seal) = seal_payloads {
            self.secrets.seal_payloads(namespace, seal, who).await?;
        }
        if !retention.is_empty() {
            self.store.put_retention(namespace, retention, who).await?;
        }
        self.namespaces.forget(namespace).await;
        Ok(is_new)
    }

    /// A namespace.
    pub async fn get_namespace(&self, namespace: &Namespace) -> store::Result<NamespaceSummary> {
        self.store.get_namespace(namespace).await?.ok_or(store::Error::NoSuchNamespace)
    }

    /// Count anew what a namespace keeps. Returns the bytes.
    pub async fn recount_storage(&self, namespace: &Namespace, who: &Who) -> store::Result<i64> {
        // What was written before is among what is counted.
        self.save_storage().await?;
        let bytes = self.store.recount_storage(namespace, who).await?;
        self.namespaces.forget(namespace).await;
        Ok(bytes)
    }

    /// What a namespace may use that has no limits of its own, and the most that any can have.
    pub fn default_limits(&self) -> &GuestLimits {
        self.namespaces.limits()
    }

    /// Say what was written since the last time.
    pub(super) async fn save_storage(&self) -> store::Result<()> {
        self.namespaces.accounts.save(&self.store, self.host_id, self.default_limits()).await
    }

    pub(super) async fn tenant(&self, namespace: &Namespace) -> store::Result<Tenant> {
        self.namespaces.get(namespace).await.map_err(|error| {
            // Many may have waited for the same answer.
            Arc::try_unwrap(error).unwrap_or_else(|error| error.again())
        })
    }

    /// The same, for something that adds to what the namespace keeps.
    pub(super) async fn tenant_with_room(&self, namespace: &Namespace) -> store::Result<Tenant> {
        let tenant = self.tenant(namespace).await?;
        if tenant.account.is_full() { Err(store::Error::StorageFull) } else { Ok(tenant) }
    }
}
