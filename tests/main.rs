//! All tests that need Postgres, wasm, or both, as one binary. The folders mirror the path of a run.

mod api;
mod bench;
mod cli;
mod entrance;
mod examples;
mod faults;
mod fuzz;
mod harness;
mod hostile;
mod imports;
mod namespaces;
mod path;
mod postgres;
mod schedules;
mod store;
mod supply_chain;
mod tidy;
