//! Where secrets come from.

use std::pin::Pin;

use crate::model::{Name, Namespace, Secret};

/// What looking for a secret comes to.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Option<Secret>, VaultError>> + Send + 'a>>;

/// Has the secrets.
pub trait Vault: Send + Sync {
    /// A secret of a namespace by its name; `None` if there is none.
    fn secret<'a>(&'a self, namespace: &'a Namespace, name: &'a Name) -> Opening<'a>;
}

/// Why a secret that may be there cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// This host cannot open it.
    #[error("the secret cannot be opened on this host: {0}")]
    Locked(String),
    /// The same again later may work.
    #[error("secrets cannot be had at the moment")]
    Unavailable,
}
