//! Components that are ready to run.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::future::Cache;

use crate::imports::bindings::{step, workflow};
use crate::imports::{StepContext, WorkflowContext, step_linker, workflow_linker};
use crate::model::{Digest, HostPattern, Manifest, Name, Namespace};
use crate::sandbox::{self, CodeCache, Engines, Limits, Rejection};
use crate::store::{self, Store};

/// Engines and linkers with our imports in them.
pub type Sandbox = sandbox::Sandbox<WorkflowContext, StepContext>;

/// A version of a component.
pub struct Program {
    /// What it says that it holds.
    pub manifest: Manifest,
    /// Its code.
    pub code: Arc<Code>,
    takes_long: AtomicBool,
}

impl Program {
    /// Whether a turn of one of its guests has taken long.
    pub(super) fn takes_long(&self) -> bool {
        self.takes_long.load(Ordering::Relaxed)
    }

    pub(super) fn set_takes_long(&self) {
        self.takes_long.store(true, Ordering::Relaxed);
    }
}

/// A component, compiled and linked for both roles.
pub struct Code {
    /// To be instantiated as a workflow.
    pub workflow: workflow::WorkflowPre<WorkflowContext>,
    /// To be instantiated as a step.
    pub step: step::WorkflowPre<StepContext>,
}

/// The programs that this host has at hand.
pub struct Programs {
    store: Store,
    sandbox: Arc<Sandbox>,
    /// By digest: versions and namespaces share code, and nothing else.
    codes: Cache<Digest, Arc<Code>>,
    /// Which digest a version is never changes.
    versions: Cache<(Namespace, Name, u32), Arc<Program>>,
    grants: Cache<(Namespace, Name), Arc<[HostPattern]>>,
    /// By workflow: what new runs took last. Checked when they are written.
    newest: Cache<(Namespace, Name), (Name, u32)>,
}

/// Why a program cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The database.
    #[error(transparent)]
    Store(#[from] Arc<store::Error>),
    /// It was deleted.
    #[error("version {version} of the component `{component}` is not there any more")]
    Missing {
        /// Which component.
        component: Name,
        /// Which version.
        version: u32,
    },
    /// It passed the inspection of another version of this host.
    #[error("the component is not accepted: {0}")]
    Rejected(#[from] Rejection),
}

/// Components whose code is kept. Machine code takes two to three times the size of the component.
const CODES_MAX: u64 = 1_000;

/// How long a grant that was withdrawn may still be used.
const GRANTS_KEPT: Duration = Duration::from_secs(1);

/// WebAssembly cannot be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("WebAssembly cannot be set up on this machine: {0:#}")]
pub struct SandboxError(#[from] wasmtime::Error);

/// Engines, limits and linkers, as a host needs them. `cache`: where machine code is kept.
pub fn build_sandbox(limits: Limits, cache: Option<&Path>) -> Result<Sandbox, SandboxError> {
    let engines = Engines::new(&limits)?;
    let (workflow, step) = (workflow_linker(&engines.workflow)?, step_linker(&engines.step)?);
    let cache = cache.map(CodeCache::open).transpose().map_err(wasmtime::Error::from)?;
    Ok(Sandbox::new(engines, limits, cache, workflow, step))
}

impl Programs {
    /// None at hand yet.
    pub fn new(store: Store, sandbox: Arc<Sandbox>) -> Self {
        Self {
            store,
            sandbox,
            codes: Cache::new(CODES_MAX),
            versions: Cache::new(4 * CODES_MAX),
            newest: Cache::new(4 * CODES_MAX),
            grants: Cache::builder().max_capacity(10_000).time_to_live(GRANTS_KEPT).build(),
        }
    }

    /// A version of a component. Compiled at most once at a time, away from the threads that serve others.
    pub async fn get(
        &self,
        namespace: &Namespace,
        component: &Name,
        version: u32,
    ) -> Result<Arc<Program>, Arc<ProgramError>> {
        let key = (namespace.clone(), component.clone(), version);
        self.versions
            .try_get_with(key, self.load(namespace, component, version))
            .await
            .map_err(|error| (*error).clone())
    }

    async fn load(
        &self,
        namespace: &Namespace,
        component: &Name,
        version: u32,
    ) -> Result<Arc<Program>, Arc<ProgramError>> {
        let found = self.store.version(namespace, component, version).await;
        let found = found.map_err(|error| ProgramError::Store(Arc::new(error)))?;
        let Some(found) = found else {
            return Err(ProgramError::Missing { component: component.clone(), version }.into());
        };
        let code = self.compile(found.digest, found.bytes.into()).await.map_err(ProgramError::Rejected)?;
        Ok(Arc::new(Program { manifest: found.manifest, code, takes_long: AtomicBool::new(false) }))
    }

    /// [`Code::new`], away from the threads that serve others, and once for each digest.
    pub(super) async fn compile(&self, digest: Digest, bytes: Arc<[u8]>) -> Result<Arc<Code>, Rejection> {
        let sandbox = self.sandbox.clone();
        let compile = async move {
            let code = tokio::task::spawn_blocking(move || Code::new(&sandbox, &bytes)).await;
            // A panic of the compiler is the component's problem, not the host's.
            let code =
                code.unwrap_or_else(|panic| Err(Rejection { code: "compile-failed", message: panic.to_string() }));
            code.map(Arc::new)
        };
        self.codes.try_get_with(digest, compile).await.map_err(|rejection| (*rejection).clone())
    }

    /// What guests may use.
    pub(super) fn limits(&self) -> Arc<Limits> {
        Arc::new(self.sandbox.limits.clone())
    }

    /// The component and the version that new runs of a workflow took when somebody last looked; `None` if no component has it.
    pub(super) async fn newest(&self, namespace: &Namespace, workflow: &Name) -> store::Result<Option<(Name, u32)>> {
        let key = (namespace.clone(), workflow.clone());
        if let Some(newest) = self.newest.get(&key).await {
            return Ok(Some(newest));
        }
        let newest = self.store.newest(namespace, workflow).await?;
        if let Some(newest) = &newest {
            self.newest.insert(key, newest.clone()).await;
        }
        Ok(newest)
    }

    /// It is another by now.
    pub(super) async fn forget_newest(&self, namespace: &Namespace, workflow: &Name) {
        self.newest.invalidate(&(namespace.clone(), workflow.clone())).await;
    }

    /// The hosts that a component's steps may reach if they ask for them.
    pub async fn grants(
        &self,
        namespace: &Namespace,
        component: &Name,
    ) -> Result<Arc<[HostPattern]>, Arc<store::Error>> {
        let key = (namespace.clone(), component.clone());
        let load = async { Ok::<_, store::Error>(self.store.grants(namespace, component).await?.into()) };
        self.grants.try_get_with(key, load).await
    }
}

impl Code {
    /// All stages of the inspection of an upload but the last, the manifest. Takes a while.
    pub fn new(sandbox: &Sandbox, bytes: &[u8]) -> Result<Self, Rejection> {
        let compiled = sandbox.compile(bytes)?;
        let missing = |error: wasmtime::Error| {
            let message = format!("it does not export `windlass:workflow/program@0.1.0` as the world asks: {error:#}");
            Rejection { code: "missing-export", message }
        };
        let workflow = workflow::WorkflowPre::new(compiled.workflow).map_err(missing)?;
        let step = step::WorkflowPre::new(compiled.step).map_err(missing)?;
        Ok(Self { workflow, step })
    }
}
