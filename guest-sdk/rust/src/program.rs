//! The component's exports: the host's way into the guest.

use std::sync::Once;

use crate::bindings::exports::windlass::workflow::program::{
    Attempt, Failure as WitFailure, Guest, Manifest, Progress, StepDeclaration, WorkflowDeclaration,
};
use crate::registry::{Step, Workflow};
use crate::{Failure, event, host, log, step};

/// Implements `windlass:workflow/program` from what the attribute macros registered.
pub struct Program;

impl Program {
    /// `name`: the component's own name, given by [`export!`](crate::export).
    pub fn describe(name: &str) -> Manifest {
        let mut workflows: Vec<_> = inventory::iter::<Workflow>.into_iter().map(declare_workflow).collect();
        let mut steps: Vec<_> = inventory::iter::<Step>.into_iter().map(declare_step).collect();
        // The linker decides the order of the registry; a manifest must always say the same.
        workflows.sort_by(|a, b| a.name.cmp(&b.name));
        steps.sort_by(|a, b| a.name.cmp(&b.name));
        let sdk = concat!("windlass-rust ", env!("CARGO_PKG_VERSION")).to_owned();
        Manifest { name: name.to_owned(), sdk, workflows, steps }
    }

    /// See `program.start` in the WIT.
    pub fn start(workflow: &str, input: Vec<u8>) -> Progress {
        log_panics();
        match inventory::iter::<Workflow>.into_iter().find(|found| found.name == workflow) {
            Some(found) => event::start((found.start)(input)),
            None => {
                let message = format!("the component has no workflow `{workflow}`");
                Progress::Failed(Failure::new("unknown-workflow", message).into_wit())
            }
        }
    }

    /// See `program.resume` in the WIT.
    pub fn resume() -> Progress {
        event::resume()
    }

    /// See `program.run-step` in the WIT.
    pub fn run_step(name: &str, input: Vec<u8>, attempt: Attempt) -> Result<Vec<u8>, WitFailure> {
        log_panics();
        let Some(found) = inventory::iter::<Step>.into_iter().find(|found| found.name == name) else {
            return Err(Failure::new("unknown-step", format!("the component has no step `{name}`")).fatal().into_wit());
        };
        step::enter(attempt);
        wstd::runtime::block_on((found.run)(input)).map_err(Failure::into_wit)
    }
}

fn declare_workflow(workflow: &Workflow) -> WorkflowDeclaration {
    WorkflowDeclaration {
        name: workflow.name.to_owned(),
        docs: workflow.docs.to_owned(),
        input_schema: (workflow.input_schema)(),
        output_schema: (workflow.output_schema)(),
    }
}

fn declare_step(step: &Step) -> StepDeclaration {
    StepDeclaration {
        name: step.name.to_owned(),
        docs: step.docs.to_owned(),
        input_schema: (step.input_schema)(),
        output_schema: (step.output_schema)(),
        retry: step.retry.into_wit(),
        timeout: step.timeout_us,
        total_timeout: step.total_timeout_us,
        http: step.http.iter().map(|&host| host.to_owned()).collect(),
    }
}

/// A panic is a trap for the host, which sees no message: it belongs in the run's log.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| host::log::write(log::Level::Error, &panic.to_string()))));
}

#[doc(hidden)]
pub trait Named {
    /// The component's name.
    const NAME: &'static str;
}

impl<T: Named> Guest for T {
    fn describe() -> Manifest {
        Program::describe(T::NAME)
    }

    fn start(workflow: String, input: Vec<u8>) -> Progress {
        Program::start(&workflow, input)
    }

    fn resume() -> Progress {
        Program::resume()
    }

    fn run_step(name: String, input: Vec<u8>, attempt: Attempt) -> Result<Vec<u8>, WitFailure> {
        Program::run_step(&name, input, attempt)
    }
}

/// Make the crate a Windlass component: everything that carries `#[windlass::workflow]` or `#[windlass::step]` is in it.
///
/// Once in a crate, at its root. The component is named after the crate, unless a name is given.
///
/// ```
/// /// Greets.
/// #[windlass::workflow]
/// async fn hello(name: String) -> windlass::Result<String> {
///     Ok(format!("Hello, {name}!"))
/// }
///
/// windlass::export!();
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! export {
    () => {
        $crate::export!(env!("CARGO_PKG_NAME"));
    };
    ($name:expr) => {
        // Natively there is nothing to export, and linkers do not take the names of a component's exports.
        #[cfg(target_family = "wasm")]
        #[doc(hidden)]
        struct WindlassProgram;

        #[cfg(target_family = "wasm")]
        impl $crate::__private::Named for WindlassProgram {
            const NAME: &'static str = $name;
        }

        #[cfg(target_family = "wasm")]
        $crate::__private::bindings::export!(WindlassProgram with_types_in $crate::__private::bindings);
    };
}
