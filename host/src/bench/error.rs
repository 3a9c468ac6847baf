//! Why there are no figures.

use std::io;
use std::path::PathBuf;

use http::StatusCode;

use crate::postgres;
use crate::run::SandboxError;
use crate::sandbox::CompileError;
use crate::store::{self, ConnectError};

/// Why a benchmark could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// There is no database server.
    #[error(transparent)]
    Postgres(#[from] postgres::Error),
    /// The database cannot be used.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// WebAssembly cannot be set up.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The component of the loads was refused, or could not be compiled.
    #[error("the component of the loads is not accepted: {0}")]
    Component(#[from] CompileError),
    /// There is no component to run.
    #[error(
        "there are no loads to run: {0} is not there, and their source is not where this program was built. In a checkout, \
         build them with `cargo build --release --target wasm32-wasip2 -p bench` in `examples`, and name the file with \
         --component"
    )]
    NoLoads(PathBuf),
    /// They do not build.
    #[error("the loads do not build (`{command}`): {output}")]
    Build {
        /// What was run.
        command: String,
        /// What it said.
        output: String,
    },
    /// A host did not start, or ended.
    #[error("a host: {0}")]
    Host(String),
    /// A request failed.
    #[error("a request to the host failed: {0}")]
    Http(#[from] hyper::Error),
    /// A host answered with something else than it should.
    #[error("{method} {path}: {status}: {body}")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// Of what.
        path: String,
        /// The answer.
        status: StatusCode,
        /// What it said.
        body: String,
    },
    /// A run did not do what it should.
    #[error("a run of the load {load} did not end as it should: {answer}")]
    Run {
        /// Which load.
        load: String,
        /// What came of it.
        answer: String,
    },
    /// Files, processes, sockets.
    #[error("{what}: {source}")]
    Io {
        /// Doing what.
        what: &'static str,
        /// What went wrong.
        source: io::Error,
    },
}

impl BenchError {
    pub(super) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

/// What comes of a benchmark, or why not.
pub type Result<T> = std::result::Result<T, BenchError>;
