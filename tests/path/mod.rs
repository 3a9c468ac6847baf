//! The path of a run: upload, start, run, wait, replay, end.

mod archive;
mod cancel;
mod continue_as_new;
mod deadline;
pub(super) mod divergence;
mod go_ahead;
mod golden;
mod long;
mod pause;
mod replay;
mod start;
mod terminate;
mod upload;
mod versions;
mod wait;
