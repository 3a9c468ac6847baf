//! The bare group commit: the rows that runs left, written again by nothing but `INSERT`, as fast as this database takes them.

use std::time::Instant;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::database::{BARE_TABLES, Database, connect, execute};
use super::error::Result;
use crate::store;

/// Runs whose rows go into one commit: with five events each, as many rows as a writer of the host takes at once.
const RUNS_PER_COMMIT: i64 = 200;

/// Sessions that commit at once; as many as a host has writers.
const SESSIONS: usize = 2;

/// Columns of `runs`, as far as a run that ended has them.
type Runs = (
    Vec<i16>,
    Vec<Uuid>,
    Vec<String>,
    Vec<String>,
    Vec<String>,
    Vec<i32>,
    Vec<i16>,
    Vec<Vec<u8>>,
    Vec<Vec<u8>>,
    Vec<i16>,
    Vec<Vec<u8>>,
    Vec<DateTime<Utc>>,
    Vec<DateTime<Utc>>,
);

/// Columns of `events`.
type Events = (
    Vec<i16>,
    Vec<Uuid>,
    Vec<i32>,
    Vec<i16>,
    Vec<i32>,
    Vec<String>,
    Vec<Vec<u8>>,
    Vec<i32>,
    Vec<bool>,
    Vec<Vec<u8>>,
    Vec<DateTime<Utc>>,
    Vec<DateTime<Utc>>,
);

/// The rows of one commit.
struct Group {
    runs: Runs,
    events: Events,
}

impl Database {
    /// Events per second, when nothing is done but to write the rows of the last runs that completed, runs and events, in as
    /// few statements and commits as the host could at best.
    pub(super) async fn group_commit_rate(&mut self, runs: u32) -> Result<f64> {
        execute(&mut self.connection, BARE_TABLES.to_owned()).await?;
        let mut shares: Vec<Vec<Group>> = (0..SESSIONS).map(|_| Vec::new()).collect();
        let mut events = 0;
        for number in 0..i64::from(runs) / RUNS_PER_COMMIT {
            let group = Group::read(&mut self.connection, number).await?;
            events += group.events.0.len();
            shares[number as usize % SESSIONS].push(group);
        }
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            sessions.push(connect(&self.options).await?);
        }
        self.settle().await?;
        let begun = Instant::now();
        let writing = sessions.into_iter().zip(shares).map(|(session, share)| tokio::spawn(write(session, share)));
        for session in writing.collect::<Vec<_>>() {
            session.await.expect("a session does not panic")?;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of events are small")]
        Ok(events as f64 / begun.elapsed().as_secs_f64())
    }
}

async fn write(mut session: PgConnection, groups: Vec<Group>) -> Result<()> {
    for group in groups {
        group.write(&mut session).await.map_err(store::Error::from)?;
    }
    Ok(())
}

impl Group {
    async fn read(connection: &mut PgConnection, number: i64) -> Result<Self> {
        let runs: Runs = sqlx::query_as(
            "SELECT array_agg(shard), array_agg(run_id), array_agg(namespace), array_agg(workflow), array_agg(component), \
             array_agg(version), array_agg(durability::smallint), array_agg(seed::bytea), array_agg(input), array_agg(state::smallint), \
             array_agg(result), array_agg(started_at), array_agg(closed_at) \
             FROM (SELECT * FROM runs WHERE state = 1 ORDER BY started_at DESC, run_id DESC LIMIT $1 OFFSET $1 * $2) r",
        )
        .bind(RUNS_PER_COMMIT)
        .bind(number)
        .fetch_one(&mut *connection)
        .await
        .map_err(store::Error::from)?;
        let events: Events = sqlx::query_as(
            "SELECT array_agg(shard), array_agg(run_id), array_agg(seq::integer), array_agg(kind::smallint), array_agg(call), array_agg(name), \
             array_agg(input), array_agg(attempt), array_agg(failed), array_agg(outcome), array_agg(asked_at), \
             array_agg(at) FROM events WHERE (shard, run_id) IN (SELECT * FROM unnest($1::smallint[], $2::uuid[]))",
        )
        .bind(&runs.0)
        .bind(&runs.1)
        .fetch_one(connection)
        .await
        .map_err(store::Error::from)?;
        Ok(Self { runs, events })
    }

    /// One statement, and so one commit.
    async fn write(&self, session: &mut PgConnection) -> sqlx::Result<()> {
        let (r, e) = (&self.runs, &self.events);
        let insert = sqlx::query(
            "WITH r AS (INSERT INTO bare_runs (shard, run_id, namespace, workflow, component, version, durability, seed, \
             input, state, result, started_at, closed_at) \
             SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)) \
             INSERT INTO bare_events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at) \
             SELECT * FROM unnest($14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)",
        );
        let insert = insert.bind(&r.0).bind(&r.1).bind(&r.2).bind(&r.3).bind(&r.4).bind(&r.5).bind(&r.6).bind(&r.7);
        let insert = insert.bind(&r.8).bind(&r.9).bind(&r.10).bind(&r.11).bind(&r.12);
        let insert = insert.bind(&e.0).bind(&e.1).bind(&e.2).bind(&e.3).bind(&e.4).bind(&e.5).bind(&e.6).bind(&e.7);
        insert.bind(&e.8).bind(&e.9).bind(&e.10).bind(&e.11).execute(session).await?;
        Ok(())
    }
}
