//! Taking in a component: every stage of the inspection, then a new version.

use std::sync::Arc;

use bytes::Bytes;

use super::threads::Panicked;
use super::{Guest, GuestThreads, Programs, Tenant};
use crate::fair::Busy;
use crate::model::{Contract, Digest, HttpGrant, Manifest, Name, Namespace, Who};
use crate::sandbox::{CompileError, Crash, Rejection};
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
    /// Too many others are inspected.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<CompileError> for UploadError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Rejected(rejection) => Self::Rejected(rejection),
            CompileError::Host(message) => Self::Host(message),
        }
    }
}

/// Inspect a component and keep it. `name`: instead of the one that it gives itself. `who`: uploads it.
pub async fn upload(
    store: &Store,
    (programs, threads): (&Programs, &GuestThreads),
    (namespace, tenant): (&Namespace, &Tenant),
    name: Option<Name>,
    bytes: Bytes,
    grants: &[HttpGrant],
    who: &Who,
) -> Result<Uploaded, UploadError> {
    if tenant.account.is_full() {
        return Err(store::Error::StorageFull.into());
    }
    let (manifest, contract) = inspect((programs, threads), (namespace, tenant), bytes.clone()).await?;
    let edition = programs.editions.of(contract).ok_or_else(|| unknown(contract, programs))?;
    let component = name.unwrap_or_else(|| manifest.name.clone());
    let deployment = Deployment {
        namespace,
        component: &component,
        bytes: &bytes,
        manifest: &manifest,
        grants,
        contract,
        edition,
        who,
    };
    let (version, is_new) = store.deploy(deployment).await?;
    programs.forget_grants(namespace, &component).await;
    if is_new {
        tenant.account.add_row(bytes.len());
    }
    Ok(Uploaded { component, version, is_new, manifest })
}

/// All stages but the last, the contract (`unknown-contract`): size, bytes, shape, validity, compiling, imports, exports, and the manifest
/// (`describe-trapped`, `bad-manifest`).
async fn inspect(
    (programs, threads): (&Programs, &GuestThreads),
    (namespace, tenant): (&Namespace, &Tenant),
    bytes: Bytes,
) -> Result<(Manifest, Contract), UploadError> {
    let place = Arc::new(programs.inspection_place(namespace).await?);
    let code = programs.compile(Digest::of(&bytes), bytes, place.clone()).await?;
    let (limits, contract) = (tenant.limits.clone(), code.contract);
    // Nobody has seen it compute before: as long as it takes, it is in nobody's way.
    let describe = threads.long(namespace, move || {
        let described = Guest::describe(&code, &limits);
        drop(place);
        described
    });
    // What a panic says may quote the component.
    let panicked = |_: Panicked| UploadError::Host("it panicked over `describe`".to_owned());
    let described = describe.await.map_err(panicked)?;
    let described = described.map_err(|crash| match crash {
        Crash::Trap(trap) => {
            let message = format!("`describe` crashed: {}", trap.message);
            UploadError::Rejected(Rejection { code: "describe-trapped", message })
        }
        Crash::Host(message) => UploadError::Host(message),
    })?;
    let manifest = described.map_err(|error| Rejection { code: "bad-manifest", message: error.to_string() })?;
    Ok((manifest, contract))
}

/// What hosts of a later release could run.
fn unknown(contract: Contract, programs: &Programs) -> Rejection {
    let contracts = programs.editions.contracts();
    let message = format!(
        "it was built for `windlass:workflow@{contract}`, and this host runs {contracts}: upgrade the hosts first, or build it with an \
         SDK of their release"
    );
    Rejection { code: "unknown-contract", message }
}
