//! Windlass: a host that runs untrusted workflow code, compiled to WebAssembly components, durably on Postgres.
//!
//! A run's way through it, and the layers, are in `ARCHITECTURE.md`. A module uses those after it and not those before it:
//!
//! | module | |
//! |---|---|
//! | [`cli`] | the commands |
//! | [`api`] | HTTP, one file for each endpoint |
//! | [`worker`] | the loops of a host, one actor a file |
//! | [`run`] | the life of one run, one verb a file |
//! | [`imports`] | the host side of `wit/`, one file for each interface |
//! | [`history`] | determinism: the cursor over what was delivered |
//! | [`fair`] | sharing between namespaces |
//! | [`sandbox`], [`store`], [`postgres`] | wasmtime, SQL, and a database server, each behind a wall |
//! | [`model`] | plain data and rules |

pub mod api;
pub mod bench;
pub mod cli;
pub mod fair;
pub mod history;
pub mod imports;
pub mod model;
pub mod postgres;
pub mod run;
pub mod sandbox;
mod serve;
pub mod store;
pub mod worker;
