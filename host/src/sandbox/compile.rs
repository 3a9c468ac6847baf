//! Components to machine code, once for each role.

use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use super::absent::{Role, define_absent};
use super::inspect::look_over;
use super::machine_code::deserialize;
use super::{CodeCache, CompileError, Compiler, Engines, Limits, Rejection};
use crate::model::Digest;

/// Engines and linkers for both roles; `W` and `S` are what the stores of workflows and steps hold.
pub struct Sandbox<W: 'static, S: 'static> {
    /// The engines.
    pub engines: Engines,
    /// What guests may use.
    pub limits: Limits,
    compiler: Compiler,
    cache: Option<CodeCache>,
    workflow_linker: Linker<W>,
    step_linker: Linker<S>,
}

/// A component, ready to be instantiated in both roles.
pub struct Compiled<W: 'static, S: 'static> {
    /// In the workflow role.
    pub workflow: InstancePre<W>,
    /// In the step role.
    pub step: InstancePre<S>,
}

impl<W: 'static, S: 'static> Compiled<W, S> {
    /// Bytes of machine code, of both roles.
    pub fn code_bytes(&self) -> usize {
        let bytes = |component: &Component| {
            let range = component.image_range();
            range.end.addr() - range.start.addr()
        };
        bytes(self.workflow.component()) + bytes(self.step.component())
    }
}

/// The packages of WASI 0.2 that a component may import. What a role does not get of them traps when it is called.
const WASI_PACKAGES: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// The package that a component may import beside WASI.
const PACKAGE: &str = "windlass:workflow/";

impl<W: 'static, S: 'static> Sandbox<W, S> {
    /// With everything that each role may import already in its linker.
    pub fn new(
        engines: Engines,
        limits: Limits,
        compiler: Compiler,
        cache: Option<CodeCache>,
        workflow_linker: Linker<W>,
        step_linker: Linker<S>,
    ) -> Self {
        Self { engines, limits, compiler, cache, workflow_linker, step_linker }
    }

    /// All stages of an inspection but the manifest: those of [`inspect()`](super::inspect()), then compiling (`compile-failed`,
    /// `compile-too-long`, `compile-too-large`) and linking (`unknown-import`, `import-mismatch`). What is in the cache was
    /// inspected before it came there. Holds the thread, for as long as a compiler may take.
    pub fn compile(&self, bytes: &[u8]) -> Result<Compiled<W, S>, CompileError> {
        let digest = Digest::of(bytes);
        if let Some(compiled) = self.recall(digest)? {
            return Ok(compiled);
        }
        look_over(bytes, &self.limits)?;
        let keep = |engine: &Engine, code: &[u8]| self.keep(engine, digest, code);
        let (workflow, step) = self.compiler.compile(&self.engines, bytes, self.limits.code_bytes, keep)?;
        Ok(self.link(&workflow, &step)?)
    }

    /// The same, if its machine code is in the cache.
    pub fn recall(&self, digest: Digest) -> Result<Option<Compiled<W, S>>, Rejection> {
        let Engines { workflow, step } = &self.engines;
        let cached = self.cache.as_ref().and_then(|cache| cache.load(workflow, digest).zip(cache.load(step, digest)));
        cached.map(|(workflow, step)| self.link(&workflow, &step)).transpose()
    }

    fn keep(&self, engine: &Engine, digest: Digest, code: &[u8]) -> Result<Component, CompileError> {
        let failed = |error| Rejection::new("compile-failed", format!("{error:#}"));
        let component = deserialize(engine, code).map_err(failed)?;
        if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.store(engine, digest, code)) {
            tracing::warn!(%error, "machine code could not be cached");
        }
        Ok(component)
    }

    fn link(&self, workflow: &Component, step: &Component) -> Result<Compiled<W, S>, Rejection> {
        for (import, _) in workflow.component_type().imports(&self.engines.workflow) {
            if !is_known(import) {
                let message = format!(
                    "it imports `{import}`; a component may import the interfaces of `windlass:workflow@0.1` and of WASI 0.2"
                );
                return Err(Rejection::new("unknown-import", message));
            }
        }
        let workflow = link(&self.workflow_linker, Role::Workflow, workflow)?;
        let step = link(&self.step_linker, Role::Step, step)?;
        Ok(Compiled { workflow, step })
    }
}

fn is_known(import: &str) -> bool {
    let Some((interface, version)) = import.rsplit_once('@') else { return false };
    let wasi = WASI_PACKAGES.iter().any(|package| {
        let rest = interface.strip_prefix("wasi:").and_then(|rest| rest.strip_prefix(package));
        rest.is_some_and(|rest| rest.starts_with('/'))
    });
    (wasi && version.starts_with("0.2.")) || (interface.starts_with(PACKAGE) && version.starts_with("0.1."))
}

fn link<T: 'static>(linker: &Linker<T>, role: Role, component: &Component) -> Result<InstancePre<T>, Rejection> {
    let mismatch = |error| Rejection::new("import-mismatch", format!("{error:#}"));
    let mut linker = linker.clone();
    define_absent(&mut linker, role, component).map_err(mismatch)?;
    linker.instantiate_pre(component).map_err(mismatch)
}
