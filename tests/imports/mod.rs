//! One file for each interface of the WIT.

mod call;
mod child;
mod clock;
mod event;
mod heartbeat;
mod log;
mod program;
mod random;
mod run;
mod signal;
mod state;
mod step;
mod timer;
mod update;
