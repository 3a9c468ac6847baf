//! Rows of a run's history, as the database has them and as the lines of the archive have them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};

use super::batch::{KIND_CANCEL_REQUESTED, KIND_CHILD, KIND_SEND, KIND_SIGNAL, KIND_SLEEP, KIND_STEP, KIND_UPDATE};
use super::{Attempt, Error, LogRow, Result, Source};
use crate::model::{
    Ask, Call, CancelReason, ChildOptions, Event, EventKind, Failure, Level, Name, Outcome, Payload, StepOptions,
    sealed_text,
};

/// A document in a line of the archive: a text, sealed if it was so (`archived_text`).
pub(super) fn document<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| sealed_text(&text).unwrap_or_else(|| text.into_bytes())))
}

#[derive(Clone, Debug, sqlx::FromRow, Deserialize)]
pub(super) struct EventRow {
    pub(super) seq: i32,
    pub(super) kind: i16,
    pub(super) call: Option<i32>,
    pub(super) name: String,
    #[serde(default, deserialize_with = "document")]
    pub(super) input: Option<Vec<u8>>,
    pub(super) attempt: i32,
    pub(super) failed: bool,
    #[serde(default, deserialize_with = "document")]
    pub(super) outcome: Option<Vec<u8>>,
    pub(super) asked_at: Option<DateTime<Utc>>,
    pub(super) at: DateTime<Utc>,
}

#[derive(Clone, Debug, sqlx::FromRow, Deserialize)]
pub(super) struct AttemptRow {
    pub(super) call: i32,
    pub(super) attempt: i32,
    pub(super) step: Option<String>,
    pub(super) attempt_limit: Option<i32>,
    #[serde(default, deserialize_with = "document")]
    pub(super) failure: Option<Vec<u8>>,
    #[serde(default, deserialize_with = "document")]
    pub(super) heartbeat: Option<Vec<u8>>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) ended_at: Option<DateTime<Utc>>,
    pub(super) next_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, sqlx::FromRow, Deserialize)]
pub(super) struct LogLineRow {
    pub(super) id: i64,
    pub(super) source: i32,
    pub(super) attempt: i32,
    pub(super) number: i32,
    pub(super) level: i16,
    pub(super) message: String,
    pub(super) at: DateTime<Utc>,
}

pub(super) fn corrupt(what: &str) -> Error {
    Error::Internal(sqlx::Error::Decode(format!("in a history: {what}").into()))
}

fn failure(json: &[u8]) -> Result<Failure> {
    serde_json::from_slice(json).map_err(|_| corrupt("a failure"))
}

impl TryFrom<EventRow> for Event {
    type Error = Error;

    fn try_from(mut row: EventRow) -> Result<Self> {
        let kind = match row.kind {
            KIND_CANCEL_REQUESTED => {
                let reason = CancelReason::named(&row.name).ok_or_else(|| corrupt("why it is asked to stop"))?;
                EventKind::CancelRequested { reason, inbox: None }
            }
            _ => {
                let outcome = row.outcome.take().ok_or_else(|| corrupt("an event without an outcome"))?;
                let outcome = if row.failed {
                    Outcome::Failed(failure(&outcome)?)
                } else {
                    Outcome::Ok(Payload::stored(outcome))
                };
                EventKind::Completed {
                    call: call(&mut row)?,
                    outcome,
                    attempt: row.attempt.unsigned_abs(),
                    inbox: None,
                }
            }
        };
        Ok(Self { seq: row.seq.unsigned_abs(), at: row.at.into(), kind })
    }
}

fn call(row: &mut EventRow) -> Result<Call> {
    let input = Payload::stored(row.input.take().ok_or_else(|| corrupt("a call without an input"))?);
    let name = || Name::new(&row.name).map_err(|_| corrupt("a name"));
    let ask = match row.kind {
        KIND_STEP => Ask::Step { name: name()?, input, options: StepOptions::default() },
        KIND_SLEEP => {
            let micros = input.as_str().parse().map_err(|_| corrupt("the length of a sleep"))?;
            Ask::Sleep { duration: Duration::from_micros(micros) }
        }
        KIND_SIGNAL => Ask::Receive { name: name()? },
        KIND_CHILD => Ask::Child { workflow: name()?, input, options: ChildOptions::default() },
        KIND_SEND => Ask::sent(name()?, &input).ok_or_else(|| corrupt("a signal that was sent"))?,
        KIND_UPDATE => Ask::ReceiveUpdate { name: name()? },
        _ => return Err(corrupt("a kind")),
    };
    let (Some(id), Some(asked_at)) = (row.call, row.asked_at) else { return Err(corrupt("an event without a call")) };
    Ok(Call { id: id.unsigned_abs(), asked_at: asked_at.into(), ask })
}

impl TryFrom<AttemptRow> for Attempt {
    type Error = Error;

    fn try_from(row: AttemptRow) -> Result<Self> {
        Ok(Self {
            call: row.call.unsigned_abs(),
            attempt: row.attempt.unsigned_abs(),
            step: row.step.map(|step| Name::new(&step).map_err(|_| corrupt("a name"))).transpose()?,
            attempt_limit: row.attempt_limit.map(i32::unsigned_abs),
            failure: row.failure.as_deref().map(failure).transpose()?,
            heartbeat: row.heartbeat.map(Payload::stored),
            started_at: row.started_at.into(),
            ended_at: row.ended_at.map(Into::into),
            next_at: row.next_at.map(Into::into),
        })
    }
}

impl From<LogLineRow> for LogRow {
    fn from(row: LogLineRow) -> Self {
        let attempt = row.attempt.unsigned_abs();
        let source = match row.source {
            -1 => Source::Workflow(attempt),
            call => Source::Step(call.unsigned_abs(), attempt),
        };
        let level = match row.level {
            0 => Level::Debug,
            1 => Level::Info,
            2 => Level::Warn,
            _ => Level::Error,
        };
        Self { id: row.id, source, number: row.number.unsigned_abs(), level, message: row.message, at: row.at.into() }
    }
}
