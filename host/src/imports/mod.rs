//! The host side of `wit/`: one file for each interface that a guest may import.
//!
//! Nothing here waits and nothing here does I/O: an import notes what the guest wants in the store's context, and the
//! activation (`run/activate.rs`) does it when the guest has come to rest.

pub mod bindings;
mod call;
mod child;
mod clock;
mod context;
mod convert;
mod event;
mod heartbeat;
mod linker;
mod log;
mod random;
mod run;
mod signal;
mod state;
mod step;
mod timer;
mod update;
mod usage;

pub use context::{Effects, RunContext, StepContext, Time, WorkflowContext};
pub use convert::{DescriptionError, failure, manifest};
pub use linker::{step_linker, workflow_linker};
