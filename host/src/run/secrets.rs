//! Secrets: sealed before they are kept, opened just before they go out, and known to nobody in between.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use crate::model::{
    DataKey, MasterKeys, Name, Namespace, SealError, Secret, SecretBinding, SecretValue, SecretValueError, Who,
};
use crate::sandbox::{Opening, Vault, VaultError};
use crate::store::{self, SealedSecret, Store, WrappedKey};

/// The secrets of all namespaces, for a host that has the master key.
pub struct Secrets {
    store: Store,
    keys: Option<Arc<MasterKeys>>,
    /// Sealed: what is kept in memory for a while cannot be read there either.
    sealed: Cache<(Namespace, Name), Option<Arc<SealedSecret>>>,
}

/// Why a secret cannot be set or opened.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// This host has none.
    #[error(
        "this host has no master key to seal with: start it with WINDLASS_MASTER_KEY_FILE, a file that holds 32 random \
         bytes as base64 (`head -c 32 /dev/urandom | base64`), the same for all hosts"
    )]
    NoMasterKey,
    /// The key, or what was sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// What was sealed is not a secret.
    #[error(transparent)]
    Value(#[from] SecretValueError),
    /// The database.
    #[error(transparent)]
    Store(#[from] Arc<store::Error>),
}

impl From<store::Error> for SecretError {
    fn from(error: store::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

/// How long a secret that was changed or deleted may still be used as it was.
const SEALED_KEPT: Duration = Duration::from_secs(1);

impl Secrets {
    /// With the master keys, if this host has any.
    pub fn new(store: Store, keys: Option<Arc<MasterKeys>>) -> Self {
        Self { store, keys, sealed: Cache::builder().max_capacity(10_000).time_to_live(SEALED_KEPT).build() }
    }

    /// Keep a secret, in place of one of this name if there is one. Returns whether it is a new one.
    pub async fn set(
        &self,
        namespace: &Namespace,
        name: &Name,
        binding: &SecretBinding,
        value: &SecretValue,
        who: &Who,
    ) -> Result<bool, SecretError> {
        let keys = self.check()?;
        let is_new = loop {
            let key = unwrap(keys, &self.data_key(keys, namespace).await?)?;
            let sealed = key.seal(&context(namespace, name, binding), value.reveal())?;
            // The key may have been changed for another between the two.
            if let Some(is_new) = self.store.set_secret(namespace, name, binding, key.id, &sealed, who).await? {
                break is_new;
            }
        };
        self.sealed.invalidate(&(namespace.clone(), name.clone())).await;
        Ok(is_new)
    }

    /// The master keys, if this host has any.
    pub fn check(&self) -> Result<&MasterKeys, SecretError> {
        self.keys.as_deref().ok_or(SecretError::NoMasterKey)
    }

    /// Seal the payloads of a namespace that are kept from now on, or no longer.
    pub async fn seal_payloads(&self, namespace: &Namespace, seal: bool, who: &Who) -> Result<(), SecretError> {
        if seal {
            self.data_key(self.check()?, namespace).await?;
        }
        Ok(self.store.seal_payloads(namespace, seal, who).await?)
    }

    async fn data_key(&self, keys: &MasterKeys, namespace: &Namespace) -> Result<WrappedKey, SecretError> {
        Ok(match self.store.data_key(namespace).await? {
            Some(wrapped) => wrapped,
            None => self.store.keep_data_key(&new_data_key(keys, namespace)?).await?,
        })
    }

    /// Forget a secret. Returns whether there was one.
    pub async fn delete(&self, namespace: &Namespace, name: &Name, who: &Who) -> store::Result<bool> {
        let deleted = self.store.delete_secret(namespace, name, who).await?;
        self.sealed.invalidate(&(namespace.clone(), name.clone())).await;
        Ok(deleted)
    }

    async fn open(&self, namespace: &Namespace, name: &Name) -> Result<Option<Secret>, SecretError> {
        let load = async { Ok::<_, store::Error>(self.store.secret(namespace, name).await?.map(Arc::new)) };
        let Some(sealed) = self.sealed.try_get_with((namespace.clone(), name.clone()), load).await? else {
            return Ok(None);
        };
        Ok(Some(open(self.check()?, &sealed)?))
    }
}

impl Vault for Secrets {
    fn secret<'a>(&'a self, namespace: &'a Namespace, name: &'a Name) -> Opening<'a> {
        Box::pin(async move {
            self.open(namespace, name).await.map_err(|error| match error {
                SecretError::Store(error) => {
                    tracing::warn!(%namespace, secret = %name, %error, "a secret could not be had");
                    VaultError::Unavailable
                }
                error => {
                    tracing::error!(%namespace, secret = %name, %error, "a secret cannot be opened");
                    VaultError::Locked(error.to_string())
                }
            })
        })
    }
}

/// What came of changing keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Data keys that are now wrapped under the current master key.
    pub wrapped: u32,
    /// Data keys that were so before.
    pub unchanged: u32,
    /// Secrets that are now sealed under new data keys.
    pub resealed: u32,
}

/// Wrap all data keys under the current master key; with `new_data_keys`, make new ones and seal all secrets anew as well.
/// What is interrupted can be begun again.
pub async fn rewrap(
    store: &Store,
    keys: &MasterKeys,
    new_data_keys: bool,
    who: &Who,
) -> Result<Rewrapped, SecretError> {
    let mut done = Rewrapped::default();
    let mut namespaces = Vec::new();
    for old in store.data_keys().await? {
        namespaces.push(old.namespace.clone());
        if old.master_key_id == keys.current().id() {
            done.unchanged += 1;
            continue;
        }
        let key = unwrap(keys, &old)?;
        let new = wrap(keys, &old.namespace, &key)?;
        done.wrapped += u32::from(store.rewrap_data_key(&new, &old.master_key_id, who).await?);
    }
    namespaces.dedup();
    for namespace in namespaces.into_iter().filter(|_| new_data_keys) {
        let new = new_data_key(keys, &namespace)?;
        store.rotate_data_key(&new, who).await?;
        let key = unwrap(keys, &new)?;
        for sealed in store.sealed_secrets(&namespace, None).await? {
            let secret = open(keys, &sealed)?;
            let again = key.seal(&context(&namespace, &secret.name, &secret.binding), secret.value.reveal())?;
            store.reseal_secret(&sealed, key.id, &again).await?;
            done.resealed += 1;
        }
        store.forget_data_keys(&namespace).await?;
    }
    Ok(done)
}

fn new_data_key(keys: &MasterKeys, namespace: &Namespace) -> Result<WrappedKey, SealError> {
    wrap(keys, namespace, &DataKey::generate()?)
}

fn wrap(keys: &MasterKeys, namespace: &Namespace, key: &DataKey) -> Result<WrappedKey, SealError> {
    Ok(WrappedKey {
        namespace: namespace.clone(),
        key_id: key.id,
        master_key_id: keys.current().id().to_owned(),
        wrapped: keys.current().wrap(namespace, key)?,
    })
}

fn unwrap(keys: &MasterKeys, wrapped: &WrappedKey) -> Result<DataKey, SealError> {
    keys.unwrap(&wrapped.master_key_id, &wrapped.namespace, wrapped.key_id, &wrapped.wrapped)
}

fn open(keys: &MasterKeys, sealed: &SealedSecret) -> Result<Secret, SecretError> {
    let key = unwrap(keys, &sealed.key)?;
    let opened = key.open(&context(&sealed.key.namespace, &sealed.name, &sealed.binding), &sealed.sealed)?;
    let value = SecretValue::new(opened)?;
    Ok(Secret { name: sealed.name.clone(), binding: sealed.binding.clone(), value })
}

/// What a secret is sealed with: a row that is moved, or bound to somebody else, does not open.
fn context(namespace: &Namespace, name: &Name, binding: &SecretBinding) -> Vec<String> {
    let mut context = vec!["secret".to_owned(), namespace.to_string(), name.to_string(), binding.header.clone()];
    context.extend(binding.targets.iter().map(ToString::to_string));
    context
}
