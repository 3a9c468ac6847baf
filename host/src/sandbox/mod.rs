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
mod cache;
mod clock;
mod compile;
mod engine;
mod http;
mod inspect;
mod limits;
mod output;
mod random;
mod send;
mod streams;
mod ticker;
mod trap;
mod wasi;
mod watch;

pub use cache::CodeCache;
pub use clock::RunClock;
pub use compile::{Compiled, Sandbox};
pub use engine::Engines;
pub use http::{Gate, GateClosed, Http};
pub use inspect::{Rejection, inspect};
pub use limits::{Limiter, Limits};
pub use output::LogBuffer;
pub use random::Stream;
pub use ticker::Computing;
pub use trap::{Crash, Trap, Violation};
pub use wasi::{StepWasi, WorkflowWasi, add_step_wasi, add_workflow_wasi};
pub use watch::{SliceOver, Watch};
