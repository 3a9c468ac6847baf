//! Taking in a component: every stage of the inspection, then a new version.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{Guest, Programs};
use crate::model::{Digest, HostPattern, Manifest, Name, Namespace};
use crate::sandbox::{Crash, Rejection};
use crate::store::{self, Deployment, Store};

/// A component that was taken in.
#[derive(Debug)]
pub struct Uploaded {
    /// Its name.
    pub component: Name,
    /// Its version.
    pub version: u32,
    /// Whether the version is a new one; if not, the newest had the same bytes.
    pub is_new: bool,
    /// What it says that it holds.
    pub manifest: Manifest,
}

/// Why it was not.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It did not pass the inspection.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// This host cannot inspect it now.
    #[error("the host could not inspect the component: {0}")]
    Host(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Inspect a component and keep it. `name`: instead of the one that it gives itself.
pub async fn upload(
    store: &Store,
    programs: &Programs,
    namespace: &Namespace,
    name: Option<Name>,
    bytes: Arc<[u8]>,
    grants: &[HostPattern],
) -> Result<Uploaded, UploadError> {
    let manifest = inspect(programs, bytes.clone()).await?;
    let component = name.unwrap_or_else(|| manifest.name.clone());
    let deployment = Deployment { namespace, component: &component, bytes: &bytes, manifest: &manifest, grants };
    let (version, is_new) = store.deploy(deployment).await?;
    Ok(Uploaded { component, version, is_new, manifest })
}

/// All stages: size, bytes, validity, compiling, imports, exports, and the manifest (`describe-trapped`, `bad-manifest`).
async fn inspect(programs: &Programs, bytes: Arc<[u8]>) -> Result<Manifest, UploadError> {
    let code = programs.compile(Digest::of(&bytes), bytes).await?;
    let limits = programs.limits();
    let describe = spawn_blocking(move || Guest::describe(&code, &limits));
    let described = describe.await.map_err(|panic| UploadError::Host(panic.to_string()))?;
    let described = described.map_err(|crash| match crash {
        Crash::Trap(trap) => {
            let message = format!("`describe` crashed: {}", trap.message);
            UploadError::Rejected(Rejection { code: "describe-trapped", message })
        }
        Crash::Host(message) => UploadError::Host(message),
    })?;
    Ok(described.map_err(|error| Rejection { code: "bad-manifest", message: error.to_string() })?)
}
