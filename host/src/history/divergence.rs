//! When a guest asks something other than its history says.

use serde::{Deserialize, Serialize};

use crate::model::{Call, CallId, Event, EventKind, Payload};

/// The first event that could not be delivered again, and why. The run is quarantined with this report; its history stays
/// as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("event {seq} of its history {}", self.explain())]
pub struct Divergence {
    /// The event.
    pub seq: u32,
    /// The call that the event answers, as history has it; none for an event that answers no call.
    pub expected: Option<Asked>,
    /// The call of that number as the guest asked it this time; none if it did not.
    pub actual: Option<Asked>,
}

/// A call, for a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Its number.
    pub call: CallId,
    /// `step`, `sleep` or `signal`.
    pub kind: String,
    /// Of the step or signal; empty for a sleep.
    pub name: String,
    /// What was handed over.
    pub input: Payload,
}

impl Asked {
    pub(super) fn new(call: &Call) -> Self {
        Self {
            call: call.id,
            kind: call.ask.kind().to_owned(),
            name: call.ask.name().to_owned(),
            input: call.ask.input(),
        }
    }
}

impl Divergence {
    /// The guest ended although history goes on with this event.
    pub fn ended_early(next: &Event) -> Self {
        Self { seq: next.seq, expected: answered(next).map(Asked::new), actual: None }
    }

    pub(super) fn between(event: &Event, actual: Option<&Call>) -> Self {
        Self { seq: event.seq, expected: answered(event).map(Asked::new), actual: actual.map(Asked::new) }
    }

    fn explain(&self) -> String {
        let what = |asked: &Asked| match &*asked.name {
            "" => format!("a {}", asked.kind),
            name => format!("the {} `{name}`", asked.kind),
        };
        match (&self.expected, &self.actual) {
            (Some(expected), Some(actual)) if (&expected.kind, &expected.name) == (&actual.kind, &actual.name) => {
                format!("answers call {}, {}, with another input than this time", expected.call, what(expected))
            }
            (Some(expected), Some(actual)) => {
                format!("answers call {}, {}, which this time is {}", expected.call, what(expected), what(actual))
            }
            (Some(expected), None) => {
                format!("answers call {}, {}, which the guest did not make this time", expected.call, what(expected))
            }
            (None, _) => "was not pulled this time".to_owned(),
        }
    }
}

/// The call that an event answers.
fn answered(event: &Event) -> Option<&Call> {
    match &event.kind {
        EventKind::Completed { call, .. } => Some(call),
        EventKind::CancelRequested { .. } => None,
    }
}
