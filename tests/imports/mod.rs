//! One file for each interface of the WIT.

mod call;
mod clock;
mod event;
mod log;
mod program;
mod random;
mod run;
mod signal;
mod state;
mod step;
mod timer;
