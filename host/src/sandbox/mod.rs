//! Wasmtime behind a wall: engines, limits and what a guest may touch. Knows neither Postgres nor our own imports.
//!
//! A component is compiled twice, once for each role:
//!
//! | | workflow | step |
//! |---|---|---|
//! | engine | deterministic (NaN, SIMD), no fibers | async |
//! | clock, random | the run's own | real |
//! | stdout, stderr | the run's log | the attempt's log |
//! | `wasi:http` | traps | granted hosts |
//! | files, sockets, environment | none | none |
//! | anything that blocks | traps, and says what to use | works |

mod absent;
mod address;
mod allowance;
mod body;
mod cache;
mod clock;
mod compile;
mod compiler;
mod compiler_process;
mod engine;
mod headers;
mod http;
mod inspect;
mod limiter;
mod limits;
mod machine_code;
mod needle;
mod network;
mod output;
mod placeholder;
mod random;
mod refusal;
mod resolve;
mod send;
mod streams;
mod structure;
mod ticker;
mod trap;
mod vault;
mod wasi;
mod watch;

pub use address::{Special, special};
pub use allowance::{Allowance, Used};
pub use cache::CodeCache;
pub use clock::RunClock;
pub use compile::{Compiled, Sandbox};
pub use compiler::{CompileError, CompileLimits, Compiler};
pub use compiler_process::run_compiler;
pub use engine::Engines;
pub use http::{Gate, GateClosed, Http};
pub use inspect::{Rejection, inspect};
pub use limiter::Limiter;
pub use limits::{Limits, StructureLimits};
pub use network::{CONNECTIONS_MAX, Network};
pub use output::LogBuffer;
pub use random::Stream;
pub use refusal::{Refusal, Rule};
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use ticker::Computing;
pub use trap::{Crash, Fuel, Trap, Violation};
pub use vault::{Opening, Vault, VaultError};
pub use wasi::{StepWasi, WorkflowWasi, add_step_wasi, add_workflow_wasi};
pub use watch::{SliceOver, Watch, looking};
