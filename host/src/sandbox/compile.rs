//! Components to machine code, once for each role.

use wasmtime::component::{Component, InstancePre, Linker};

use super::absent::{Role, define_absent};
use super::{CodeCache, Engines, Limits, Rejection, inspect};
use crate::model::Digest;

/// Engines and linkers for both roles; `W` and `S` are what the stores of workflows and steps hold.
pub struct Sandbox<W: 'static, S: 'static> {
    /// The engines.
    pub engines: Engines,
    /// What guests may use.
    pub limits: Limits,
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

/// The packages of WASI 0.2 that a component may import. What a role does not get of them traps when it is called.
const WASI_PACKAGES: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// The package that a component may import beside WASI.
const PACKAGE: &str = "windlass:workflow/";

impl<W: 'static, S: 'static> Sandbox<W, S> {
    /// With everything that each role may import already in its linker.
    pub fn new(
        engines: Engines,
        limits: Limits,
        cache: Option<CodeCache>,
        workflow_linker: Linker<W>,
        step_linker: Linker<S>,
    ) -> Self {
        Self { engines, limits, cache, workflow_linker, step_linker }
    }

    /// All stages of an inspection but the manifest: those of [`inspect()`], then compiling (`compile-failed`) and linking
    /// (`unknown-import`, `import-mismatch`).
    pub fn compile(&self, bytes: &[u8]) -> Result<Compiled<W, S>, Rejection> {
        let (workflow, step) = self.code(bytes)?;
        for (import, _) in workflow.component_type().imports(&self.engines.workflow) {
            if !is_known(import) {
                let message = format!(
                    "it imports `{import}`; a component may import the interfaces of `windlass:workflow@0.1` and of WASI 0.2"
                );
                return Err(Rejection::new("unknown-import", message));
            }
        }
        let workflow = link(&self.workflow_linker, Role::Workflow, &workflow)?;
        let step = link(&self.step_linker, Role::Step, &step)?;
        Ok(Compiled { workflow, step })
    }

    /// Machine code for both engines. What is in the cache was inspected before it came there.
    fn code(&self, bytes: &[u8]) -> Result<(Component, Component), Rejection> {
        let digest = Digest::of(bytes);
        let Engines { workflow, step } = &self.engines;
        let cached = self.cache.as_ref().map(|cache| (cache.load(workflow, digest), cache.load(step, digest)));
        if let Some((Some(workflow), Some(step))) = cached {
            return Ok((workflow, step));
        }
        inspect(bytes, &self.limits)?;
        let compile = |engine| {
            let failed = |error| Rejection::new("compile-failed", format!("{error:#}"));
            let component = Component::from_binary(engine, bytes).map_err(failed)?;
            if let Some(Err(error)) = self.cache.as_ref().map(|cache| cache.store(&component, digest)) {
                tracing::warn!(%error, "machine code could not be cached");
            }
            Ok(component)
        };
        Ok((compile(workflow)?, compile(step)?))
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
