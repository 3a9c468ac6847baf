//! All tests that need Postgres, wasm, or both, as one binary. The folders mirror the path of a run.

mod api;
mod bench;
mod cli;
mod examples;
mod faults;
mod harness;
mod imports;
mod path;
mod postgres;
mod store;
mod tidy;
