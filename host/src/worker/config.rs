//! How a host works.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::ArchiveStore;
use crate::model::{Editions, MasterKeys};
use crate::run::RunConfig;
use crate::sandbox::{Compiler, Limits, Resolve, SystemResolver};
use crate::store::LeaseTimes;

/// How a host works.
#[derive(Clone, Debug, Default)]
pub struct HostConfig {
    /// How it deals with runs.
    pub run: RunConfig,
    /// What it may use for guests, and what these may use.
    pub limits: Limits,
    /// Its lease.
    pub lease: LeaseTimes,
    /// Where it compiles components.
    pub compiler: Compiler,
    /// Where it keeps machine code; nowhere if there is none.
    pub cache: Option<PathBuf>,
    /// Whom its API serves.
    pub authentication: Authentication,
    /// Looks up the names of the hosts that its guests send requests to.
    pub resolver: Resolver,
    /// Seal and open secrets, and payloads of the namespaces that want it. Without any, there are none of either.
    pub master_keys: Option<Arc<MasterKeys>>,
    /// How it looks after the archive.
    pub archive: ArchiveConfig,
    /// What it can run.
    pub editions: Editions,
}

/// How a host looks after the archive.
#[derive(Clone, Debug)]
pub struct ArchiveConfig {
    /// How often.
    pub every: Duration,
    /// Where archived runs are exported to before they are deleted, for namespaces that want it.
    pub store: Option<ArchiveStore>,
}

impl ArchiveConfig {
    /// Whether this host can export.
    pub fn can_export(&self) -> bool {
        self.store.is_some()
    }
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self { every: Duration::from_secs(60), store: None }
    }
}

/// Whom the API serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Authentication {
    /// Whoever has an API key, as far as that goes.
    #[default]
    Keys,
    /// Whoever reaches it. For loopback.
    None,
}

/// Looks up names.
#[derive(Clone)]
pub struct Resolver(pub Arc<dyn Resolve>);

impl Default for Resolver {
    /// As the system does.
    fn default() -> Self {
        Self(Arc::new(SystemResolver))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}
