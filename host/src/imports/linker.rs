//! Which role may import what.

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Engine, Result};

use super::log::Log;
use super::{StepContext, WorkflowContext, bindings, event};
use crate::sandbox::{add_step_wasi, add_workflow_wasi};

/// Everything that a workflow may import.
pub fn workflow_linker(engine: &Engine) -> Result<Linker<WorkflowContext>> {
    type Own = HasSelf<WorkflowContext>;
    let linker = &mut Linker::new(engine);
    bindings::types::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::run::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::clock::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::random::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::log::add_to_linker::<_, Log>(linker, |context| context.log.clone())?;
    bindings::state::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::step_import::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::timer::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::signal::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::update::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::child::add_to_linker::<_, Own>(linker, |context| context)?;
    bindings::call::add_to_linker::<_, Own>(linker, |context| context)?;
    event::add_to_linker(linker)?;
    add_workflow_wasi(linker)?;
    Ok(linker.clone())
}

/// Everything that a step may import.
pub fn step_linker(engine: &Engine) -> Result<Linker<StepContext>> {
    let linker = &mut Linker::new(engine);
    bindings::log::add_to_linker::<_, Log>(linker, |context: &mut StepContext| context.log.clone())?;
    bindings::heartbeat::add_to_linker::<_, HasSelf<StepContext>>(linker, |context| context)?;
    add_step_wasi(linker)?;
    Ok(linker.clone())
}

impl bindings::types::Host for WorkflowContext {}
