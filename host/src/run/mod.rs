//! The life of one run, one verb a file.
//!
//! ```text
//!                      ┌─ dispatch ─→ steps, timers, letters ─┐
//!   start ──→ ready ──→ activate: feed history, turn the guest ←─ news
//!               ↑        │        │          │
//!               │      park     finish    quarantine
//!               │        ↓        ↓          ↓
//!               └──── waiting  completed  quarantined
//!                              failed
//!                              cancelled
//! ```
//!
//! An *activation* is one pass of this host over a run, until the run ends, waits for long, or is lost. It is one task, and
//! everything that happens to the run meanwhile comes to it by mail.

mod activate;
mod active;
mod agenda;
mod alarm;
mod backlog;
mod computed;
mod diagnose;
mod dispatch;
mod finish;
mod gate;
mod guest;
mod letters;
mod lines;
mod namespaces;
mod park;
mod program;
mod quarantine;
mod quarantines;
mod replay;
mod residents;
mod rewind;
mod runner;
mod secrets;
mod send;
mod steps;
mod threads;
mod trial;
mod turn;
mod turns;
mod under_way;
mod upload;
mod wait;

pub use active::{Active, Room};
pub use alarm::Alarm;
pub use guest::{Guest, Progress, Stop};
pub use namespaces::{Namespaces, Tenant};
pub use program::{Code, Program, ProgramError, Programs, Sandbox, SandboxError, build_sandbox};
pub use quarantine::{Report, advice};
pub use quarantines::Quarantines;
pub use replay::{Replay, replay};
pub use rewind::RewindError;
pub use runner::{RunConfig, Runner, RunnerParts};
pub use secrets::{Rewrapped, SecretError, Secrets, rewrap};
pub use threads::GuestThreads;
pub use trial::{Misfit, Trial, TrialBench, TrialError};
pub use under_way::UnderWay;
pub use upload::{UploadError, Uploaded, upload};
