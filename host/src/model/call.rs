//! What guests ask of the host.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Name, Payload, RetryPolicy, RunId, Timestamp, duration_us};

/// The number of a call in its run: 0, 1, 2, ….
pub type CallId = u32;

/// One thing that a guest asked of the host and that has an outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Its number.
    pub id: CallId,
    /// The run's own time when it was asked.
    pub asked_at: Timestamp,
    /// What was asked.
    pub ask: Ask,
}

/// What a call asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// `step.run`
    Step {
        /// Of the step.
        name: Name,
        /// What the step gets.
        input: Payload,
        /// What the call does differently from the manifest. Not recorded: it follows from the code.
        options: StepOptions,
    },
    /// `timer.sleep`
    Sleep {
        /// How long.
        duration: Duration,
    },
    /// `signal.receive`
    Receive {
        /// Of the signal.
        name: Name,
    },
    /// `signal.send`
    Send {
        /// To whom.
        run_id: RunId,
        /// Of the signal.
        name: Name,
        /// What it carries.
        payload: Payload,
    },
    /// `child.start`
    Child {
        /// Of the workflow.
        workflow: Name,
        /// What the child is started with.
        input: Payload,
        /// How parent and child hang together. Not recorded: it follows from the code.
        options: ChildOptions,
    },
    /// `update.receive`
    ReceiveUpdate {
        /// Of the update.
        name: Name,
    },
}

/// How a child hangs together with its parent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildOptions {
    /// Whether the child goes on when its parent has ended or no longer wants it; else it is asked to stop.
    pub abandon: bool,
    /// Whether the call is over when the child has been started.
    pub detached: bool,
}

/// What one call of a step does differently from the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepOptions {
    /// Another retry policy.
    pub retry: Option<RetryPolicy>,
    /// Another timeout of an attempt.
    pub timeout: Option<Duration>,
    /// Another limit for the whole call.
    pub total_timeout: Option<Duration>,
}

impl Ask {
    /// The word for its kind, as people read it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Step { .. } => "step",
            Self::Sleep { .. } => "sleep",
            Self::Receive { .. } => "signal",
            Self::Send { .. } => "send",
            Self::Child { .. } => "child",
            Self::ReceiveUpdate { .. } => "update",
        }
    }

    /// The name in it; a sleep has none.
    pub fn name(&self) -> &str {
        match self {
            Self::Step { name, .. }
            | Self::Receive { name }
            | Self::Send { name, .. }
            | Self::Child { workflow: name, .. }
            | Self::ReceiveUpdate { name } => name,
            Self::Sleep { .. } => "",
        }
    }

    /// What it hands over, as history keeps it: of a sleep, its length in microseconds.
    pub fn input(&self) -> Payload {
        match self {
            Self::Step { input, .. } | Self::Child { input, .. } => input.clone(),
            Self::Sleep { duration } => Payload::of(&duration_us(*duration)),
            Self::Send { run_id, payload, .. } => Payload::of(&Sent { run_id: *run_id, payload: payload.clone() }),
            Self::Receive { .. } | Self::ReceiveUpdate { .. } => Payload::null(),
        }
    }

    /// Whether a replay that asks this asks what history says: the same kind, name and input. Options may differ.
    pub fn is_same_as(&self, recorded: &Self) -> bool {
        match (self, recorded) {
            (Self::Step { name: a, input: b, .. }, Self::Step { name: c, input: d, .. })
            | (Self::Child { workflow: a, input: b, .. }, Self::Child { workflow: c, input: d, .. }) => {
                (a, b) == (c, d)
            }
            (asked, recorded) => asked == recorded,
        }
    }
}

/// How history keeps what a signal that is sent hands over.
#[derive(Serialize, Deserialize)]
struct Sent {
    run_id: RunId,
    payload: Payload,
}

impl Ask {
    /// A `Send` from what history keeps; `None` if that is no such.
    pub fn sent(name: Name, input: &Payload) -> Option<Self> {
        let Sent { run_id, payload } = serde_json::from_slice(input.as_bytes()).ok()?;
        Some(Self::Send { run_id, name, payload })
    }
}

impl Call {
    /// When a sleep is over.
    pub fn due(&self) -> Option<Timestamp> {
        match self.ask {
            Ask::Sleep { duration } => Some(self.asked_at.after(duration)),
            _ => None,
        }
    }
}
