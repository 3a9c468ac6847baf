//! What can go wrong with a statement.

use crate::model::{RunId, RunState, SealError};

/// A statement's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Each code of `migrations/README.md` is a variant.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `WL001`
    #[error("this host has lost its lease")]
    Fenced,
    /// `WL002`
    #[error("another writer has added to the history of run {0}")]
    Conflict(RunId),
    /// `WL003`
    #[error("there is no such run in the namespace")]
    NoSuchRun,
    /// `WL004`
    #[error("the run has ended: it is {}", .0.as_str())]
    RunEnded(RunState),
    /// `WL005`
    #[error("the run's inbox is full of what the workflow has not asked for: {0}")]
    InboxFull(String),
    /// `WL006`
    #[error("there is no such namespace")]
    NoSuchNamespace,
    /// `WL007`
    #[error("{0}")]
    WorkflowTaken(String),
    /// `WL008`
    #[error("the update id belongs to another update of the run")]
    UpdateConflict,
    /// `WL009`
    #[error("somebody else has just started one of these runs")]
    StartedMeanwhile,
    /// `WL010`
    #[error("it is {0}: nothing was changed")]
    WrongState(String),
    /// `WL011`
    #[error("no component of the namespace has such a workflow")]
    NoSuchWorkflow,
    /// `WL012`
    #[error("{0}")]
    NoSuchVersion(String),
    /// `WL031`
    #[error("{0}")]
    Retention(String),
    /// `WL032`
    #[error("hosts are at work in this installation: stop them first")]
    HostsAtWork,
    /// The namespace keeps as much as it may: nothing was written.
    #[error("the namespace keeps as many bytes as it may (`storage_bytes`): ask the operator for more")]
    StorageFull,
    /// A payload that cannot be sealed or opened here.
    #[error("what the namespace keeps is sealed: {0}")]
    Sealed(#[from] SealError),
    /// The database cannot be reached or is busy: the same again later may work.
    #[error("the database is not available: {0}")]
    Unavailable(sqlx::Error),
    /// A bug in the host or in the schema.
    #[error("the database refused: {0}")]
    Internal(sqlx::Error),
}

impl Error {
    /// Whether the same again later may work.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The same, for another who waited for the same answer: the database could not give it.
    pub fn again(&self) -> Self {
        match self {
            Self::Sealed(error) => Self::Sealed(error.clone()),
            error => Self::Unavailable(sqlx::Error::Protocol(error.to_string())),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
                other => Self::Internal(other),
            };
        };
        let code = database.code().unwrap_or_default();
        let detail = || database.downcast_ref::<sqlx::postgres::PgDatabaseError>().detail().unwrap_or_default();
        match &*code {
            "WL001" => Self::Fenced,
            "WL002" => detail().parse().map_or_else(|_| Self::Internal(error), Self::Conflict),
            "WL003" => Self::NoSuchRun,
            "WL004" => Self::RunEnded(match detail() {
                "1" => RunState::Completed,
                "2" => RunState::Failed,
                "3" => RunState::Cancelled,
                _ => RunState::Quarantined,
            }),
            "WL005" => Self::InboxFull(detail().to_owned()),
            "WL006" => Self::NoSuchNamespace,
            "WL007" => Self::WorkflowTaken(database.message().to_owned()),
            "WL008" => Self::UpdateConflict,
            "WL009" => Self::StartedMeanwhile,
            "WL010" => Self::WrongState(detail().to_owned()),
            "WL011" => Self::NoSuchWorkflow,
            "WL012" => Self::NoSuchVersion(database.message().to_owned()),
            "WL031" => Self::Retention(database.message().to_owned()),
            "WL032" => Self::HostsAtWork,
            // Connection, operator intervention, out of resources, lock not available, serialization, read-only.
            code if ["08", "57", "53", "55", "40"].contains(&&code[..2]) || code == "25006" => Self::Unavailable(error),
            _ => Self::Internal(error),
        }
    }
}
