//! Reading what runs have left.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::batch::{
    KIND_CANCEL_REQUESTED, KIND_CHILD, KIND_SEND, KIND_SIGNAL, KIND_SLEEP, KIND_STEP, KIND_UPDATE, int,
};
use super::{Error, Result, Source, Store};
use crate::model::{
    Ask, Call, CallId, CancelReason, ChildOptions, Event, EventKind, Failure, Level, Name, Outcome, Payload, RunId,
    StepOptions, Timestamp,
};

/// An attempt of a step that is worth a row: it failed, has been running for long, or has reported something.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Of which call.
    pub call: CallId,
    /// Its number.
    pub attempt: u32,
    /// Why it failed; none if it did not, or runs.
    pub failure: Option<Failure>,
    /// What it reported last.
    pub heartbeat: Option<Payload>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it failed.
    pub ended_at: Option<Timestamp>,
    /// When the next is due.
    pub next_at: Option<Timestamp>,
}

/// A line of a run's log.
#[derive(Clone, Debug)]
pub struct LogRow {
    /// Later lines of the run have greater numbers.
    pub id: i64,
    /// Who wrote it.
    pub source: Source,
    /// Which line of its source it is.
    pub number: u32,
    /// How much it matters.
    pub level: Level,
    /// The text.
    pub message: String,
    /// When it was committed.
    pub at: Timestamp,
}

/// A value that a run shows.
#[derive(Clone, Debug)]
pub struct Published {
    /// Under which key.
    pub key: String,
    /// The last value.
    pub value: Payload,
    /// Since when.
    pub at: Timestamp,
}

impl Store {
    /// Up to `limit` events of a run, from number `first` on.
    pub async fn history(&self, run_id: RunId, first: u32, limit: u32) -> Result<Vec<Event>> {
        let rows = sqlx::query(
            "SELECT seq, kind, call, name, input, attempt, failed, outcome, asked_at, at FROM events \
             WHERE shard = $1 AND run_id = $2 AND seq >= $3 ORDER BY seq LIMIT $4",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(int(first))
        .bind(int(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(event).collect()
    }

    /// The attempts that left a row, of these calls or of all.
    pub async fn attempts(&self, run_id: RunId, calls: Option<&[CallId]>) -> Result<Vec<Attempt>> {
        let calls: Option<Vec<i32>> = calls.map(|calls| calls.iter().map(|call| int(*call)).collect());
        let rows = sqlx::query(
            "SELECT call, attempt, failure, heartbeat, started_at, ended_at, next_at FROM attempts \
             WHERE shard = $1 AND run_id = $2 AND ($3::integer[] IS NULL OR call = ANY ($3)) ORDER BY call, attempt",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(calls)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(attempt).collect()
    }

    /// The lines of a run that matter at least so much, oldest first: up to `limit`, after the one with the id `after`.
    pub async fn logs(&self, run_id: RunId, after: i64, level: Level, limit: u32) -> Result<Vec<LogRow>> {
        let rows = sqlx::query(
            "SELECT id, source, attempt, number, level, message, at FROM logs \
             WHERE shard = $1 AND run_id = $2 AND id > $3 AND level >= $4 ORDER BY id LIMIT $5",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(after)
        .bind(level_code(level))
        .bind(int(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(log_row).collect()
    }

    /// What a run shows of itself.
    pub async fn published(&self, run_id: RunId) -> Result<Vec<Published>> {
        let rows: Vec<(String, Vec<u8>, DateTime<Utc>)> =
            sqlx::query_as("SELECT key, value, at FROM published WHERE shard = $1 AND run_id = $2 ORDER BY key")
                .bind(run_id.shard())
                .bind(run_id.0)
                .fetch_all(&self.pool)
                .await?;
        let published = |(key, value, at): (_, Vec<u8>, DateTime<Utc>)| Published {
            key,
            value: Payload::stored(value),
            at: at.into(),
        };
        Ok(rows.into_iter().map(published).collect())
    }
}

fn corrupt(what: &str) -> Error {
    Error::Internal(sqlx::Error::Decode(format!("in a history: {what}").into()))
}

fn time(row: &PgRow, column: &str) -> Result<Timestamp> {
    Ok(row.try_get::<DateTime<Utc>, _>(column)?.into())
}

fn time_if_any(row: &PgRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<DateTime<Utc>>, _>(column)?.map(Into::into))
}

fn number(row: &PgRow, column: &str) -> Result<u32> {
    Ok(row.try_get::<i32, _>(column)?.unsigned_abs())
}

fn failure(json: &[u8]) -> Result<Failure> {
    serde_json::from_slice(json).map_err(|_| corrupt("a failure"))
}

fn event(row: &PgRow) -> Result<Event> {
    let kind = row.try_get::<i16, _>("kind")?;
    let kind = match kind {
        KIND_CANCEL_REQUESTED => {
            let reason = CancelReason::named(row.try_get("name")?).ok_or_else(|| corrupt("why it is asked to stop"))?;
            EventKind::CancelRequested { reason, inbox: None }
        }
        kind => EventKind::Completed {
            call: call(row, kind)?,
            outcome: outcome(row)?,
            attempt: number(row, "attempt")?,
            inbox: None,
        },
    };
    Ok(Event { seq: number(row, "seq")?, at: time(row, "at")?, kind })
}

fn call(row: &PgRow, kind: i16) -> Result<Call> {
    let input = Payload::stored(row.try_get::<Vec<u8>, _>("input")?);
    let name = || Name::new(row.try_get("name")?).map_err(|_| corrupt("a name"));
    let ask = match kind {
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
    Ok(Call { id: number(row, "call")?, asked_at: time(row, "asked_at")?, ask })
}

fn outcome(row: &PgRow) -> Result<Outcome> {
    let outcome: Vec<u8> = row.try_get("outcome")?;
    Ok(if row.try_get("failed")? { Outcome::Failed(failure(&outcome)?) } else { Outcome::Ok(Payload::stored(outcome)) })
}

fn attempt(row: &PgRow) -> Result<Attempt> {
    let failed: Option<Vec<u8>> = row.try_get("failure")?;
    Ok(Attempt {
        call: number(row, "call")?,
        attempt: number(row, "attempt")?,
        failure: failed.as_deref().map(failure).transpose()?,
        heartbeat: row.try_get::<Option<Vec<u8>>, _>("heartbeat")?.map(Payload::stored),
        started_at: time(row, "started_at")?,
        ended_at: time_if_any(row, "ended_at")?,
        next_at: time_if_any(row, "next_at")?,
    })
}

/// Codes of `logs.level`.
pub(super) fn level_code(level: Level) -> i16 {
    match level {
        Level::Debug => 0,
        Level::Info => 1,
        Level::Warn => 2,
        Level::Error => 3,
    }
}

fn log_row(row: &PgRow) -> Result<LogRow> {
    let source = match row.try_get::<i32, _>("source")? {
        -1 => Source::Workflow(number(row, "attempt")?),
        call => Source::Step(call.unsigned_abs(), number(row, "attempt")?),
    };
    let level = match row.try_get::<i16, _>("level")? {
        0 => Level::Debug,
        1 => Level::Info,
        2 => Level::Warn,
        _ => Level::Error,
    };
    let id = row.try_get("id")?;
    Ok(LogRow {
        id,
        source,
        number: number(row, "number")?,
        level,
        message: row.try_get("message")?,
        at: time(row, "at")?,
    })
}
