//! What happened to a run, in the shape in which the host's API shows it.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Asked, rfc3339};
use crate::{Failure, Result};

/// What happened to a run: the events that its workflow saw, in order. [`Run::history`](super::Run::history) gives one.
///
/// It reads and writes the JSON of the host's API, `GET …/runs/{id}/history`; there, what the run was started with stands
/// apart, in `GET …/runs/{id}`. Pages of a long one are put together with [`Extend`].
///
/// ```
/// use windlass::testing::{History, Kind};
///
/// let recorded = r#"{"events": [{
///     "seq": 0, "kind": "step", "call": 0, "name": "charge", "input": {"cents": 450}, "attempt": 2,
///     "asked_at": "2026-11-21T09:43:19.097000Z", "at": "2026-11-21T09:43:20.254000Z", "result": "pay-17"
/// }], "attempts": []}"#;
/// let history: History = recorded.parse()?;
/// assert_eq!(history.events[0].kind, Kind::Step);
/// assert_eq!(history.events[0].outcome, Some(Ok("pay-17".into())));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// What the run was started with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<Started>,
    /// What its workflow saw.
    pub events: Vec<Event>,
    /// Attempts of its steps that failed.
    #[serde(default)]
    pub attempts: Vec<FailedAttempt>,
}

impl History {
    /// With what the run was started with: the JSON of `GET …/runs/{id}`.
    ///
    /// ```
    /// # let history: windlass::testing::History = r#"{"events": []}"#.parse()?;
    /// let run = r#"{
    ///     "run_id": "01a1fd79-4996-73cf-9a58-5c763cc70966", "workflow": "hello", "component": "hello", "version": 1,
    ///     "state": "running", "input": "Ada", "started_at": "2026-11-21T09:39:06.776000Z", "events": 0
    /// }"#;
    /// assert_eq!(history.with_run(run)?.run.unwrap().input, "Ada");
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn with_run(self, json: &str) -> std::result::Result<Self, serde_json::Error> {
        Ok(Self { run: Some(serde_json::from_str(json)?), ..self })
    }

    /// The events of one name, that is of a step, of a signal or update, of a child's workflow, or of the reason to stop.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn ask() -> windlass::Result<bool> { windlass::signal("answer").await }
    /// let mut run = windlass::testing::Test::new().start(ask, ());
    /// run.signal("answer", true);
    /// assert_eq!(run.history().of("answer").len(), 1);
    /// ```
    pub fn of(&self, name: &str) -> Vec<&Event> {
        self.events.iter().filter(|event| event.name == name).collect()
    }
}

impl FromStr for History {
    type Err = serde_json::Error;

    fn from_str(json: &str) -> std::result::Result<Self, Self::Err> {
        serde_json::from_str(json)
    }
}

impl Extend<History> for History {
    fn extend<I: IntoIterator<Item = History>>(&mut self, pages: I) {
        for page in pages {
            self.events.extend(page.events);
        }
    }
}

/// What a run was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// Its id.
    pub run_id: String,
    /// The name of its workflow.
    pub workflow: String,
    /// The version of the component.
    pub version: u32,
    /// The input.
    pub input: Value,
    /// When.
    #[serde(with = "rfc3339")]
    pub started_at: SystemTime,
    /// When it is asked to stop by itself.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub deadline_at: Option<SystemTime>,
    /// The run that started it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parent_run_id: Option<String>,
    /// How often it had continued as new when it got this input. Of a run of the kit: 0, for its history begins at the beginning.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub generation: u32,
    /// Of the run's random stream. A host does not show it: a workflow whose calls depend on [`random`](crate::random())
    /// cannot be replayed here from a host's history.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub seed: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A step ended.
    Step,
    /// A sleep was over.
    Sleep,
    /// A signal came.
    Signal,
    /// A child ended, or could not be started.
    Child,
    /// A signal was sent to another run, or could not be.
    Send,
    /// An update came.
    Update,
    /// The run was asked to stop.
    CancelRequested,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Step => "step",
            Self::Sleep => "sleep",
            Self::Signal => "signal",
            Self::Child => "child",
            Self::Send => "send",
            Self::Update => "update",
            Self::CancelRequested => "cancel-requested",
        })
    }
}

/// One thing that the workflow was told.
///
/// ```
/// # use std::time::Duration;
/// # #[windlass::workflow]
/// # async fn nap() -> windlass::Result<()> { windlass::sleep(Duration::from_secs(60)).await; Ok(()) }
/// let mut run = windlass::testing::Test::new().start(nap, ());
/// run.advance(Duration::from_secs(60));
/// let history = run.history();
/// assert_eq!(history.events[0].to_string(), "0 2000-01-01T00:01:00.000000Z call 0, a sleep of 60000000 µs: null");
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "View", into = "View")]
pub struct Event {
    /// Its number.
    pub seq: u32,
    /// The run's own time from here on.
    pub at: SystemTime,
    /// What it is about.
    pub kind: Kind,
    /// The call that it answers.
    pub call: Option<u32>,
    /// Of the step, signal or update, or of the child's workflow; of a request to stop, its reason; else empty.
    pub name: String,
    /// What the call handed over; of a sleep, its length in microseconds; of what is received, null.
    pub input: Value,
    /// When the call was made.
    pub asked_at: Option<SystemTime>,
    /// Of a step: the attempt that it ended with.
    pub attempt: Option<u32>,
    /// How the call ended.
    pub outcome: Option<Result<Value>>,
}

impl Event {
    /// The call that it answers.
    pub(super) fn asked(&self) -> Option<Asked> {
        let call = self.call?;
        Some(Asked { call, kind: self.kind, name: self.name.clone(), input: self.input.clone() })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.seq, humantime::format_rfc3339_micros(self.at))?;
        let Some(asked) = self.asked() else { return write!(f, "{}: {}", self.kind, self.name) };
        write!(f, "{asked}")?;
        if let Some(attempt) = self.attempt {
            write!(f, ", attempt {attempt}")?;
        }
        match &self.outcome {
            Some(Ok(value)) => write!(f, ": {value}"),
            Some(Err(failure)) => write!(f, " failed: {failure:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An attempt of a step that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Of which call.
    pub call: u32,
    /// Its number.
    pub attempt: u32,
    /// When it began.
    #[serde(with = "rfc3339")]
    pub started_at: SystemTime,
    /// When it failed.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<SystemTime>,
    /// When the next is due.
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    pub next_at: Option<SystemTime>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure: Option<Failure>,
    /// What the step had [reported](crate::heartbeat::report) last by then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heartbeat: Option<Value>,
}

/// An event as the API writes it.
#[derive(Serialize, Deserialize)]
struct View {
    seq: u32,
    kind: Kind,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    call: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    input: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    attempt: Option<u32>,
    #[serde(with = "rfc3339::option", skip_serializing_if = "Option::is_none", default)]
    asked_at: Option<SystemTime>,
    #[serde(with = "rfc3339")]
    at: SystemTime,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    failure: Option<Failure>,
}

impl From<View> for Event {
    fn from(view: View) -> Self {
        let View { seq, kind, call, name, input, attempt, asked_at, at, result, failure } = view;
        // A result that is null reads as none.
        let outcome = call.map(|_| failure.map_or_else(|| Ok(result.unwrap_or_default()), Err));
        Self { seq, at, kind, call, name, input: input.unwrap_or_default(), asked_at, attempt, outcome }
    }
}

impl From<Event> for View {
    fn from(event: Event) -> Self {
        let Event { seq, at, kind, call, name, input, asked_at, attempt, outcome } = event;
        let (result, failure) = match outcome {
            Some(Ok(result)) => (Some(result), None),
            Some(Err(failure)) => (None, Some(failure)),
            None => (None, None),
        };
        let input = matches!(kind, Kind::Step | Kind::Sleep | Kind::Child | Kind::Send).then_some(input);
        Self { seq, kind, call, name, input, attempt, asked_at, at, result, failure }
    }
}
