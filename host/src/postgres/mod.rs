//! PostgreSQL for one machine: the installed server's own binaries, run by the host in a folder of its own.
//!
//! It listens on a Unix socket only, with `fsync` on. It lives exactly as long as the host: whatever way the host goes, the
//! server sees it and shuts down.

mod binaries;
mod folder;
mod server;

pub use binaries::Binaries;
pub use server::Server;

use std::io;
use std::path::PathBuf;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None is installed.
    #[error(
        "no PostgreSQL server is installed here. Install one (Debian, Ubuntu: `apt-get install postgresql`; macOS: \
         `brew install postgresql`), or say where its binaries are with WINDLASS_PG_BIN, or use a database of your own \
         with --database-url"
    )]
    NoBinaries,
    /// None is installed, and none could be downloaded.
    #[error(
        "no PostgreSQL server is installed here, and none could be downloaded ({0}). Install one (Debian, Ubuntu: \
         `apt-get install postgresql`; macOS: `brew install postgresql`), or say where its binaries are with \
         WINDLASS_PG_BIN, or use a database of your own with --database-url"
    )]
    Download(String),
    /// The folder that was named has none.
    #[error("in {0} there is no `postgres` with an `initdb` beside it")]
    NotBinaries(PathBuf),
    /// Another host uses the folder.
    #[error("another Windlass host is using {0}; stop it, or choose another folder with --data-dir")]
    InUse(PathBuf),
    /// A server that is not ours, or that will not stop, uses the folder.
    #[error("a PostgreSQL server (process {pid}) is still running in {folder}; stop it first")]
    StillRunning {
        /// Which.
        pid: i32,
        /// Where.
        folder: PathBuf,
    },
    /// As root, the server runs under another account.
    #[error(
        "the account `{account}`, under which PostgreSQL runs, cannot enter {folder}; choose another folder with --data-dir"
    )]
    NotReachable {
        /// Which account.
        account: String,
        /// The folder that it cannot enter.
        folder: PathBuf,
    },
    /// No account that the server accepts.
    #[error("PostgreSQL does not run as root, and there is no account `postgres` or `nobody` to run it under")]
    NoAccount,
    /// The data was made by another version.
    #[error(
        "the data in {folder} is of PostgreSQL {data}, and the binaries are {binaries}; install PostgreSQL {data}, or choose another folder with --data-dir"
    )]
    OtherVersion {
        /// Where.
        folder: PathBuf,
        /// Major version of the data.
        data: String,
        /// What the binaries say of themselves.
        binaries: String,
    },
    /// It did not start, or could not make its folder.
    #[error("PostgreSQL did not start: {0}")]
    Failed(String),
    /// Files.
    #[error("{what}: {source}")]
    Io {
        /// Doing what.
        what: String,
        /// What went wrong.
        source: io::Error,
    },
}

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
