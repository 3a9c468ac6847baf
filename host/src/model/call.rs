//! What guests ask of the host.

use std::time::Duration;

use super::{Name, Payload, RetryPolicy, Timestamp, duration_us};

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
}

/// What one call of a step does differently from the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepOptions {
    /// Another retry policy.
    pub retry: Option<RetryPolicy>,
    /// Another timeout of an attempt.
    pub timeout: Option<Duration>,
}

impl Ask {
    /// The word for its kind, as people read it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Step { .. } => "step",
            Self::Sleep { .. } => "sleep",
            Self::Receive { .. } => "signal",
        }
    }

    /// The name in it; a sleep has none.
    pub fn name(&self) -> &str {
        match self {
            Self::Step { name, .. } | Self::Receive { name } => name,
            Self::Sleep { .. } => "",
        }
    }

    /// What it hands over, as history keeps it: a sleep's is its length in microseconds.
    pub fn input(&self) -> Payload {
        match self {
            Self::Step { input, .. } => input.clone(),
            Self::Sleep { duration } => Payload::of(&duration_us(*duration)),
            Self::Receive { .. } => Payload::null(),
        }
    }

    /// Whether a replay that asks this asks what history says: the same kind, name and input.
    pub fn is_same_as(&self, recorded: &Self) -> bool {
        match (self, recorded) {
            (Self::Step { name, input, .. }, Self::Step { name: recorded_name, input: recorded_input, .. }) => {
                name == recorded_name && input == recorded_input
            }
            (asked, recorded) => asked == recorded,
        }
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
