//! Reading what runs have left.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::batch::int;
use super::rows::{AttemptRow, EventRow, LogLineRow, corrupt};
use super::seals::sealed_among;
use super::{Result, Source, Store};
use crate::model::{CallId, Event, Failure, Level, Name, Namespace, Payload, RunId, Timestamp};

/// An attempt of a step that is worth a row: it failed, has been running for long, or has reported something.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Of which call.
    pub call: CallId,
    /// Its number.
    pub attempt: u32,
    /// Of which step.
    pub step: Option<Name>,
    /// How many the call may make in all.
    pub attempt_limit: Option<u32>,
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

// Each asks for the run's namespace itself, and trusts nobody who has looked before: a run of another tenant has left nothing. The
// database looks once for a statement, at a row that it has just had.
impl Store {
    /// Up to `limit` events of a run, from number `first` on.
    pub async fn history(&self, namespace: &Namespace, run_id: RunId, first: u32, limit: u32) -> Result<Vec<Event>> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "SELECT seq, kind, call, name, input, attempt, failed, outcome, asked_at, at FROM events \
             WHERE shard = $1 AND run_id = $2 AND seq >= $3 \
             AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $5) \
             ORDER BY seq LIMIT $4",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(int(first))
        .bind(int(limit))
        .bind(&**namespace)
        .fetch_all(&self.pool)
        .await?;
        self.events(namespace, rows).await
    }

    /// The same, but only as many as it takes to have so many `bytes`, as one event may have two megabytes; and the number of the
    /// next event, if there is one.
    pub async fn history_page(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        first: u32,
        limit: u32,
        bytes: u32,
    ) -> Result<(Vec<Event>, Option<u32>)> {
        let rows: Vec<FoundRow> = sqlx::query_as(
            "SELECT seq, kind, call, name, input, attempt, failed, outcome, asked_at, at, found FROM ( \
                 SELECT *, count(*) OVER () AS found, \
                     sum(coalesce(octet_length(input), 0) + coalesce(octet_length(outcome), 0)) OVER ( \
                         ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
                 FROM (SELECT * FROM events WHERE shard = $1 AND run_id = $2 AND seq >= $3 \
                       AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $6) \
                       ORDER BY seq LIMIT $4 + 1) rest \
             ) page WHERE coalesce(before, 0) < $5 ORDER BY seq LIMIT $4",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(int(first))
        .bind(i64::from(limit))
        .bind(i64::from(bytes))
        .bind(&**namespace)
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        if rows.is_empty() {
            let (rows, more) = self.archived_events(namespace, run_id, first, limit).await?;
            let events = self.events(namespace, rows).await?;
            let next = events.last().filter(|_| more).map(|event| event.seq + 1);
            return Ok((events, next));
        }
        let found = rows.first().map_or(0, |row| row.found);
        let events = self.events(namespace, rows.into_iter().map(|row| row.event).collect()).await?;
        let next = events.last().filter(|_| (events.len() as i64) < found).map(|event| event.seq + 1);
        Ok((events, next))
    }

    /// The attempts that left a row: the first thousand.
    pub async fn attempts(&self, namespace: &Namespace, run_id: RunId) -> Result<Vec<Attempt>> {
        let mut rows: Vec<AttemptRow> = sqlx::query_as(
            "SELECT call, attempt, step, attempt_limit, failure, heartbeat, started_at, ended_at, next_at FROM attempts \
             WHERE shard = $1 AND run_id = $2 \
             AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $3) \
             ORDER BY call, attempt LIMIT 1000",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(&**namespace)
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        if rows.is_empty() {
            rows = self.archived_rest(namespace, run_id).await?.attempts;
            rows.truncate(1_000);
        }
        self.read_attempts(namespace, rows).await
    }

    /// The last of the attempts that left a row, of each of these calls.
    pub async fn last_attempts(&self, namespace: &Namespace, run_id: RunId, calls: &[CallId]) -> Result<Vec<Attempt>> {
        let calls: Vec<i32> = calls.iter().map(|call| int(*call)).collect();
        let rows: Vec<AttemptRow> = sqlx::query_as(
            "SELECT DISTINCT ON (call) call, attempt, step, attempt_limit, failure, heartbeat, started_at, ended_at, next_at FROM attempts \
             WHERE shard = $1 AND run_id = $2 AND call = ANY ($3) \
             AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $4) \
             ORDER BY call, attempt DESC",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(calls)
        .bind(&**namespace)
        .fetch_all(&self.pool)
        .await?;
        self.read_attempts(namespace, rows).await
    }

    /// The lines of a run that matter at least so much, oldest first: up to `limit`, after the one with the id `after`.
    pub async fn logs(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        after: i64,
        level: Level,
        limit: u32,
    ) -> Result<Vec<LogRow>> {
        let mut rows: Vec<LogLineRow> = sqlx::query_as(
            "SELECT id, source, attempt, number, level, message, at FROM logs \
             WHERE shard = $1 AND run_id = $2 AND id > $3 AND level >= $4 \
             AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $6) \
             ORDER BY id LIMIT $5",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(after)
        .bind(level_code(level))
        .bind(int(limit))
        .bind(&**namespace)
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        if rows.is_empty() {
            rows = self.archived_rest(namespace, run_id).await?.logs;
            rows.retain(|row| row.id > after && row.level >= level_code(level));
            rows.truncate(limit as usize);
        }
        self.open_texts(namespace, rows.iter_mut().map(|row| &mut row.message).collect()).await?;
        Ok(rows.into_iter().map(LogRow::from).collect())
    }

    /// Bytes of all lines of a run.
    pub async fn log_bytes(&self, run_id: RunId) -> Result<usize> {
        let bytes: i64 = sqlx::query_scalar(
            "SELECT coalesce(sum(octet_length(message)), 0)::bigint FROM logs WHERE shard = $1 AND run_id = $2",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .fetch_one(&self.pool)
        .await?;
        Ok(usize::try_from(bytes).unwrap_or(0))
    }

    /// The keys under which a run shows something, with the length of each value.
    pub async fn published_sizes(&self, run_id: RunId) -> Result<BTreeMap<Name, usize>> {
        let rows: Vec<(String, i32)> =
            sqlx::query_as("SELECT key, octet_length(value) FROM published WHERE shard = $1 AND run_id = $2")
                .bind(run_id.shard())
                .bind(run_id.0)
                .fetch_all(&self.pool)
                .await?;
        let size = |(key, length): (String, i32)| {
            let key = Name::new(&key).map_err(|_| corrupt("a key"))?;
            Ok((key, usize::try_from(length).unwrap_or(0)))
        };
        rows.into_iter().map(size).collect()
    }

    /// What a run shows of itself.
    pub async fn published(&self, namespace: &Namespace, run_id: RunId) -> Result<Vec<Published>> {
        let mut rows: Vec<(String, Vec<u8>, DateTime<Utc>)> = sqlx::query_as(
            "SELECT key, value, at FROM published WHERE shard = $1 AND run_id = $2 \
             AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $3) ORDER BY key",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(&**namespace)
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        if rows.is_empty() {
            let rest = self.archived_rest(namespace, run_id).await?;
            rows = rest.published.into_iter().map(|line| (line.key, line.value.unwrap_or_default(), line.at)).collect();
        }
        self.open(namespace, sealed_among(rows.iter_mut().map(|(_, value, _)| value))).await?;
        let published = |(key, value, at): (_, Vec<u8>, DateTime<Utc>)| Published {
            key,
            value: Payload::stored(value),
            at: at.into(),
        };
        Ok(rows.into_iter().map(published).collect())
    }

    async fn events(&self, namespace: &Namespace, mut rows: Vec<EventRow>) -> Result<Vec<Event>> {
        let payloads = rows.iter_mut().flat_map(|row| [row.input.as_mut(), row.outcome.as_mut()]).flatten();
        self.open(namespace, sealed_among(payloads)).await?;
        rows.into_iter().map(Event::try_from).collect()
    }

    async fn read_attempts(&self, namespace: &Namespace, mut rows: Vec<AttemptRow>) -> Result<Vec<Attempt>> {
        let payloads = rows.iter_mut().flat_map(|row| [row.failure.as_mut(), row.heartbeat.as_mut()]).flatten();
        self.open(namespace, sealed_among(payloads)).await?;
        rows.into_iter().map(Attempt::try_from).collect()
    }
}

/// An event of a page, and how many there were from its first on.
#[derive(sqlx::FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    event: EventRow,
    found: i64,
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
