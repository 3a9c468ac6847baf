//! The states of a run.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{CallId, Lineage, Name, Namespace, Priority, RunId, Timestamp};

/// What is fixed for the whole of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunInfo {
    /// Its id.
    pub run_id: RunId,
    /// Its tenant.
    pub namespace: Namespace,
    /// Its workflow.
    pub workflow: Name,
    /// The component that has the workflow.
    pub component: Name,
    /// The version of the component that the run is pinned to.
    pub version: u32,
    /// When it was accepted.
    pub started_at: Timestamp,
    /// What its randomness comes from.
    pub seed: Seed,
    /// When the guest sees an event.
    pub durability: Durability,
    /// Before which others it is taken up, and after which.
    pub priority: Priority,
    /// When it is asked to stop by itself.
    pub deadline: Option<Timestamp>,
    /// The run that started it, and the call that did.
    pub parent: Option<(RunId, CallId)>,
    /// Where its history begins.
    pub origin: Origin,
    /// Where it was rewound, and what it was forked from.
    pub lineage: Lineage,
}

/// Where the history of a run begins: at zero, or where it last continued as new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// How often it has continued as new.
    pub generation: u32,
    /// The number of its first event.
    pub seq: u32,
    /// The number of its first call.
    pub call: CallId,
    /// The run's own time then.
    pub at: Timestamp,
    /// Whether it had been told to stop by then, and why: it is told once.
    pub told: Option<CancelReason>,
}

impl Origin {
    /// Of a run that has just been accepted.
    pub fn new(started_at: Timestamp) -> Self {
        Self { generation: 0, seq: 0, call: 0, at: started_at, told: None }
    }
}

/// Why a run is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CancelReason {
    /// Somebody asked for it.
    Requested,
    /// Its time is over.
    Deadline,
    /// The run that started it has ended, or no longer wants it.
    ParentClosed,
}

impl CancelReason {
    const ALL: [Self; 3] = [Self::Requested, Self::Deadline, Self::ParentClosed];

    /// As it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Deadline => "deadline",
            Self::ParentClosed => "parent-closed",
        }
    }

    /// The reason with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == name)
    }
}

/// Drawn when a run is accepted, kept with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub [u8; 16]);

impl Seed {
    /// Another one each time.
    #[expect(clippy::new_without_default, reason = "every call gives another one")]
    pub fn new() -> Self {
        Self(Uuid::new_v4().into_bytes())
    }

    /// The seed of a run that has continued as new: another one each time, and always the same.
    pub fn of_generation(self, generation: u32) -> Self {
        if generation == 0 {
            return self;
        }
        let mut hash = Sha256::new();
        hash.update(b"windlass/seed/");
        hash.update(self.0);
        hash.update(generation.to_be_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(bytes)
    }
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// Something is there for it, and no host has taken it up.
    Ready,
    /// A host is at it.
    Running,
    /// It waits for a signal or a time, and no host holds it.
    Waiting,
    /// It ended with a result.
    Completed,
    /// It ended with a failure.
    Failed,
    /// It was asked to stop and did.
    Cancelled,
    /// It cannot be continued safely and waits for a person.
    Quarantined,
    /// Nobody goes on with it until it is resumed, whatever comes for it.
    Paused,
}

impl RunState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Running,
        Self::Waiting,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Quarantined,
        Self::Paused,
    ];

    /// Whether nothing can happen to it any more.
    pub fn is_closed(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// As it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Quarantined => "quarantined",
            Self::Paused => "paused",
        }
    }
}

impl std::str::FromStr for RunState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|state| state.as_str()).collect();
            format!("a run is {}", all.join(", "))
        })
    }
}

/// When the guest sees an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// As soon as it is there. It is committed before anything that follows from it leaves the host (output commit).
    #[default]
    Output,
    /// After it is committed. Slower; nothing is ever computed twice after a crash.
    Strict,
}
