//! The path of a run: upload, start, run, wait, replay, end.

mod cancel;
mod replay;
mod start;
mod upload;
mod wait;
