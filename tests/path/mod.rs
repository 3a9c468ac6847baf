//! The path of a run: upload, start, run, wait, replay, end.

mod archive;
mod cancel;
mod concurrency;
mod continue_as_new;
mod deadline;
pub(super) mod divergence;
mod fork;
mod go_ahead;
mod golden;
mod long;
mod pause;
mod priority;
mod rates;
mod replay;
mod retry;
mod rewind;
mod rewound_children;
mod start;
mod terminate;
mod upload;
mod versions;
mod wait;
