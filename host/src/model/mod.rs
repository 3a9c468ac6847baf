//! The words of Windlass as plain data and rules: no I/O, no async, nothing that knows Postgres or wasmtime.

mod call;
mod event;
mod failure;
mod host_pattern;
mod id;
mod log;
mod manifest;
mod name;
mod payload;
mod retry;
mod run;
mod time;

pub use call::{Ask, Call, CallId, ChildOptions, StepOptions};
pub use event::{Event, EventKind, Outcome};
pub use failure::{Failure, code};
pub use host_pattern::{HostPattern, HostPatternError};
pub use id::{Digest, HostId, RunId, SHARDS};
pub use log::{Level, LogLine};
pub use manifest::{Manifest, ManifestError, StepDeclaration, WorkflowDeclaration};
pub use name::{Name, NameError, Namespace};
pub use payload::{Payload, PayloadError};
pub use retry::RetryPolicy;
pub use run::{CancelReason, Durability, Origin, RunInfo, RunState, Seed};
pub use time::{Timestamp, duration_from_us, duration_us};
