//! What a workflow asks of its host, with an outcome that comes later.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Kind;
use crate::bindings::windlass::workflow::child;
use crate::bindings::windlass::workflow::step::Options;

/// What a call asks for.
pub(super) enum Ask {
    Step { name: String, input: Vec<u8>, options: Options },
    Sleep { duration: u64 },
    Receive { name: String },
    Send { run_id: String, name: String, payload: Vec<u8> },
    Child { workflow: String, input: Vec<u8>, options: child::Options },
    ReceiveUpdate { name: String },
}

impl Ask {
    fn kind(&self) -> Kind {
        match self {
            Self::Step { .. } => Kind::Step,
            Self::Sleep { .. } => Kind::Sleep,
            Self::Receive { .. } => Kind::Signal,
            Self::Send { .. } => Kind::Send,
            Self::Child { .. } => Kind::Child,
            Self::ReceiveUpdate { .. } => Kind::Update,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Step { name, .. }
            | Self::Receive { name }
            | Self::Send { name, .. }
            | Self::Child { workflow: name, .. }
            | Self::ReceiveUpdate { name } => name,
            Self::Sleep { .. } => "",
        }
    }

    fn input(&self) -> Value {
        match self {
            Self::Step { input, .. } | Self::Child { input, .. } => value(input),
            Self::Sleep { duration } => Value::from(*duration),
            Self::Send { run_id, payload, .. } => json!({"run_id": run_id, "payload": value(payload)}),
            Self::Receive { .. } | Self::ReceiveUpdate { .. } => Value::Null,
        }
    }

    pub(super) fn asked(&self, call: u32) -> Asked {
        Asked { call, kind: self.kind(), name: self.name().to_owned(), input: self.input() }
    }
}

/// A payload as a document.
pub(super) fn value(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("a payload is a JSON document")
}

/// A call that a workflow made, or should have made.
///
/// ```
/// #[windlass::workflow]
/// async fn hear() -> windlass::Result<String> {
///     windlass::signal("word").await
/// }
///
/// let run = windlass::testing::Test::new().start(hear, ());
/// assert_eq!(run.waits_for()[0].to_string(), "call 0, the signal `word`");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Its number: 0, 1, 2, … in the order in which they were made.
    pub call: u32,
    /// What was asked for.
    pub kind: Kind,
    /// Of the step, signal or update, or of the child's workflow; empty for a sleep.
    pub name: String,
    /// What was handed over; of a sleep, its length in microseconds; of a signal that is sent, its receiver and its payload.
    pub input: Value,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, kind, name, input } = self;
        match kind {
            Kind::Step => write!(f, "call {call}, the step `{name}` with {input}"),
            Kind::Sleep => write!(f, "call {call}, a sleep of {input} µs"),
            Kind::Signal => write!(f, "call {call}, the signal `{name}`"),
            Kind::Child => write!(f, "call {call}, the child `{name}` with {input}"),
            Kind::Send => write!(f, "call {call}, the signal `{name}` to another run with {input}"),
            Kind::Update => write!(f, "call {call}, the update `{name}`"),
            Kind::CancelRequested => write!(f, "call {call}, which is no call"),
        }
    }
}
