//! Components that are ready to run.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use moka::future::Cache;
use tokio::task::spawn_blocking;
use wasmtime::component::Component;

use crate::fair::{Busy, Line, LinePlace, LineRules};
use crate::imports::bindings::{step, workflow};
use crate::imports::{StepContext, WorkflowContext, step_linker, workflow_linker};
use crate::model::{Contract, Digest, Editions, HttpGrant, Manifest, Name, Namespace};
use crate::sandbox::{self, CodeCache, CompileError, Compiler, Engines, Limits, Rejection};
use crate::store::{self, Newest, Store};

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
    /// What it was built for.
    pub contract: Contract,
    /// Bytes of machine code.
    bytes: usize,
}

/// The programs that this host has at hand.
pub struct Programs {
    store: Store,
    sandbox: Arc<Sandbox>,
    /// What this host can run.
    pub(super) editions: Editions,
    /// By digest: versions and namespaces share code, and nothing else.
    codes: Cache<Digest, Arc<Code>>,
    /// Which digest a version is never changes.
    versions: Cache<(Namespace, Name, u32), Arc<Program>>,
    grants: Cache<(Namespace, Name), Arc<[HttpGrant]>>,
    /// By workflow: what new runs took last. Checked when they are written.
    newest: Cache<(Namespace, Name), Newest>,
    /// Uploads that are under way, with their bytes in memory.
    uploads: Arc<Line>,
    /// Those that are compiled and asked for their manifest.
    inspections: Arc<Line>,
    /// Programs that are compiled because a run needs them: no upload is before them.
    loads: Arc<Line>,
    /// Runs that are tried on other versions.
    trials: Arc<Line>,
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
    /// Whoever deployed it knows more.
    #[error(
        "version {version} of the component `{component}` needs a host of a later release than this one: upgrade it, or ask another"
    )]
    Unknown {
        /// Which component.
        component: Name,
        /// Which version.
        version: u32,
    },
    /// It passed the inspection of another version of this host; or this host cannot compile it now.
    #[error("the component cannot be compiled here: {}", .0.cause())]
    Compile(#[from] CompileError),
    /// Too many others are compiled.
    #[error(transparent)]
    Busy(#[from] Busy),
}

/// KiB of machine code that are kept for programs that nobody runs just now. It takes about six times the component.
const CODE_KIB_MAX: u64 = 1 << 20;

/// Workflows whose newest version is kept.
const NEWEST_MAX: u64 = 4_000;

/// Each has a component in memory, of 32 MiB at most.
const UPLOADS: LineRules = LineRules { all: 8, each: 4, waiting: 64, patience: Duration::from_secs(30) };

/// A compiler uses all processors, behind all that serves.
const INSPECTIONS: LineRules = LineRules { all: 2, each: 1, waiting: 64, patience: Duration::from_secs(60) };

/// Each has an instance or two that nobody else counts, for as long as its history takes.
const TRIALS: LineRules = LineRules { all: 4, each: 2, waiting: 64, patience: Duration::from_secs(30) };

/// A run waits for each.
const LOADS: LineRules = LineRules { all: 2, each: 1, waiting: 100_000, patience: Duration::from_secs(600) };

/// How long a grant that was withdrawn may still be used.
const GRANTS_KEPT: Duration = Duration::from_secs(1);

/// WebAssembly cannot be set up on this machine.
#[derive(Debug, thiserror::Error)]
#[error("WebAssembly cannot be set up on this machine: {0:#}")]
pub struct SandboxError(#[from] wasmtime::Error);

/// Engines, limits and linkers, as a host needs them. `cache`: where machine code is kept.
pub fn build_sandbox(limits: Limits, compiler: Compiler, cache: Option<&Path>) -> Result<Sandbox, SandboxError> {
    let engines = Engines::new(&limits)?;
    let (workflow, step) = (workflow_linker(&engines.workflow)?, step_linker(&engines.step)?);
    let cache = cache.map(CodeCache::open).transpose().map_err(wasmtime::Error::from)?;
    Ok(Sandbox::new(engines, limits, compiler, cache, workflow, step))
}

impl Programs {
    /// None at hand yet.
    pub fn new(store: Store, sandbox: Arc<Sandbox>, editions: Editions) -> Self {
        Self {
            store,
            sandbox,
            editions,
            codes: Cache::builder().max_capacity(CODE_KIB_MAX).weigher(|_, code: &Arc<Code>| code.kib()).build(),
            versions: Cache::builder()
                .max_capacity(CODE_KIB_MAX)
                .weigher(|_, program: &Arc<Program>| program.code.kib())
                .build(),
            newest: Cache::new(NEWEST_MAX),
            uploads: Line::new(UPLOADS),
            inspections: Line::new(INSPECTIONS),
            loads: Line::new(LOADS),
            trials: Line::new(TRIALS),
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
        if found.edition > self.editions.newest() {
            return Err(ProgramError::Unknown { component: component.clone(), version }.into());
        }
        let code = self.code(namespace, found.digest, found.bytes.into()).await?;
        Ok(Arc::new(Program { manifest: found.manifest, code, takes_long: AtomicBool::new(false) }))
    }

    /// The code of a component that was taken in earlier.
    async fn code(&self, namespace: &Namespace, digest: Digest, bytes: Bytes) -> Result<Arc<Code>, ProgramError> {
        let sandbox = self.sandbox.clone();
        let recall = async move {
            let recalled = spawn_blocking(move || Code::recall(&sandbox, digest)).await;
            recalled.ok().and_then(Result::ok).flatten().map(Arc::new)
        };
        if let Some(code) = self.codes.optionally_get_with(digest, recall).await {
            return Ok(code);
        }
        let place = Arc::new(self.loads.enter(namespace).await?);
        Ok(self.compile(digest, bytes, place).await?)
    }

    /// [`Code::new`], away from the threads that serve others, and once for each digest. The place is kept until the compiler
    /// has ended: whoever asked may have gone away by then.
    pub(super) async fn compile(
        &self,
        digest: Digest,
        bytes: Bytes,
        place: Arc<LinePlace>,
    ) -> Result<Arc<Code>, CompileError> {
        let sandbox = self.sandbox.clone();
        let compile = async move {
            let compile = move || {
                let code = Code::new(&sandbox, &bytes);
                drop(place);
                code
            };
            let code = spawn_blocking(compile).await;
            // What a panic says may quote the component.
            let code = code.unwrap_or_else(|_panic| Err(CompileError::Host("it panicked over it".to_owned())));
            code.map(Arc::new)
        };
        self.codes.try_get_with(digest, compile).await.map_err(|error| (*error).clone())
    }

    /// Wait until the bytes of another upload may be taken into memory.
    pub async fn upload_place(&self, namespace: &Namespace) -> Result<LinePlace, Busy> {
        self.uploads.enter(namespace).await
    }

    /// Wait until another upload may be inspected.
    pub(super) async fn inspection_place(&self, namespace: &Namespace) -> Result<LinePlace, Busy> {
        self.inspections.enter(namespace).await
    }

    /// Wait until another run may be tried on a version.
    pub(super) async fn trial_place(&self, namespace: &Namespace) -> Result<LinePlace, Busy> {
        self.trials.enter(namespace).await
    }

    /// What new runs of a workflow took when somebody last looked; `None` if no component has it, or if they need a slot first.
    pub(super) async fn newest(&self, namespace: &Namespace, workflow: &Name) -> store::Result<Option<Newest>> {
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

    /// The requests that a component's steps may send if they ask for them.
    pub async fn grants(&self, namespace: &Namespace, component: &Name) -> Result<Arc<[HttpGrant]>, Arc<store::Error>> {
        let key = (namespace.clone(), component.clone());
        let load = async { Ok::<_, store::Error>(self.store.grants(namespace, component).await?.into()) };
        self.grants.try_get_with(key, load).await
    }

    /// They are others by now.
    pub async fn forget_grants(&self, namespace: &Namespace, component: &Name) {
        self.grants.invalidate(&(namespace.clone(), component.clone())).await;
    }
}

impl Code {
    /// All stages of the inspection of an upload but the last, the manifest. Takes a while, and holds the thread.
    pub fn new(sandbox: &Sandbox, bytes: &[u8]) -> Result<Self, CompileError> {
        Ok(Self::of(sandbox.compile(bytes)?)?)
    }

    /// The same, if its machine code is at hand.
    fn recall(sandbox: &Sandbox, digest: Digest) -> Result<Option<Self>, Rejection> {
        sandbox.recall(digest)?.map(Self::of).transpose()
    }

    fn of(compiled: sandbox::Compiled<WorkflowContext, StepContext>) -> Result<Self, Rejection> {
        let missing = |error: wasmtime::Error| {
            let message = format!("it does not export `windlass:workflow/program@0.1.0` as the world asks: {error:#}");
            Rejection { code: "missing-export", message }
        };
        let nameless = || Rejection {
            code: "missing-export",
            message: "it exports nothing of a version of `windlass:workflow`".to_owned(),
        };
        let (bytes, contract) = (compiled.code_bytes(), contract(compiled.workflow.component()));
        let workflow = workflow::WorkflowPre::new(compiled.workflow).map_err(missing)?;
        let step = step::WorkflowPre::new(compiled.step).map_err(missing)?;
        Ok(Self { workflow, step, contract: contract.ok_or_else(nameless)?, bytes })
    }

    fn kib(&self) -> u32 {
        u32::try_from(self.bytes / 1024).unwrap_or(u32::MAX)
    }
}

/// The latest version of our package that a component names among its imports and exports.
fn contract(component: &Component) -> Option<Contract> {
    let (ty, engine) = (component.component_type(), component.engine());
    let names = ty.imports(engine).map(|(name, _)| name).chain(ty.exports(engine).map(|(name, _)| name));
    let versions = names.filter_map(|name| name.strip_prefix("windlass:workflow/")?.split_once('@')?.1.parse().ok());
    versions.max()
}
