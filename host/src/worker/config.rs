//! How a host works.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::MasterKeys;
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
    /// How its guests reach the outside.
    pub outbound: Outbound,
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

/// How guests reach the outside.
#[derive(Clone)]
pub struct Outbound {
    /// Looks up the names of hosts.
    pub resolver: Arc<dyn Resolve>,
    /// Open secrets. Without any, there are no secrets.
    pub master_keys: Option<Arc<MasterKeys>>,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { resolver: Arc::new(SystemResolver), master_keys: None }
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("master_keys", &self.master_keys).finish_non_exhaustive()
    }
}
