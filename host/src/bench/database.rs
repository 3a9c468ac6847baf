//! The database under the loads, from outside: what it does by itself, and what is in it.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::error::Result;
use super::quantiles::Times;
use crate::model::RunId;
use crate::store::{self, ConnectError};

/// A session of one's own.
pub(super) struct Database {
    pub(super) connection: PgConnection,
    pub(super) options: PgConnectOptions,
}

/// Empty tables like those of the events and the runs, for the bare commits. They go with the session's schema.
pub(super) const BARE_TABLES: &str = "DROP TABLE IF EXISTS bare_events, bare_runs, bare_commits; \
    CREATE TABLE bare_events (LIKE events INCLUDING ALL); \
    CREATE TABLE bare_runs (LIKE runs INCLUDING ALL); \
    CREATE TABLE bare_commits (at timestamptz)";

impl Database {
    /// An empty schema.
    pub(super) async fn prepare(url: &str, schema: &str) -> Result<Self> {
        let options = store::connect_options(url)?;
        let options = options.application_name("windlass bench").options([("search_path", schema)]);
        let mut connection = connect(&options).await?;
        execute(&mut connection, format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await?;
        store::Store::connect(url, schema).await?.close().await;
        Ok(Self { connection, options })
    }

    /// What was written before does not weigh on what comes.
    pub(super) async fn settle(&mut self) -> Result<()> {
        execute(&mut self.connection, "CHECKPOINT".to_owned()).await
    }

    /// How long one commit takes that writes one small row, and nothing else is going on.
    pub(super) async fn bare_commit(&mut self) -> Result<Times> {
        execute(&mut self.connection, BARE_TABLES.to_owned()).await?;
        let mut times = Times::default();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(2) {
            let before = Instant::now();
            sqlx::query("INSERT INTO bare_commits VALUES (clock_timestamp())")
                .execute(&mut self.connection)
                .await
                .map_err(store::Error::from)?;
            times.add(before.elapsed());
        }
        Ok(times)
    }

    /// The database's time.
    pub(super) async fn now(&mut self) -> Result<DateTime<Utc>> {
        self.one("SELECT clock_timestamp()").await
    }

    /// Runs of a load that have not ended.
    pub(super) async fn open_runs(&mut self, workflow: &'static str) -> Result<i64> {
        let count = sqlx::query_scalar("SELECT count(*) FROM runs WHERE state = 0 AND workflow = $1").bind(workflow);
        Ok(count.fetch_one(&mut self.connection).await.map_err(store::Error::from)?)
    }

    /// Runs that hosts are at.
    pub(super) async fn owned_runs(&mut self) -> Result<i64> {
        self.one("SELECT (SELECT count(*) FROM owned) + (SELECT count(*) FROM ready)").await
    }

    /// How late the last runs of a load were: its input and its result are times.
    pub(super) async fn lateness(&mut self, workflow: &'static str, count: usize) -> Result<Times> {
        let late: Vec<i64> = sqlx::query_scalar(
            "SELECT convert_from(result, 'UTF8')::bigint - convert_from(input, 'UTF8')::bigint FROM runs \
             WHERE state = 1 AND workflow = $1 ORDER BY started_at DESC LIMIT $2",
        )
        .bind(workflow)
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .fetch_all(&mut self.connection)
        .await
        .map_err(store::Error::from)?;
        Ok(micros(late))
    }

    /// How long after a time each open run of a load had its next event, and how many had none.
    pub(super) async fn went_on_after(&mut self, workflow: &'static str, at: DateTime<Utc>) -> Result<(Times, f64)> {
        let next: Vec<Option<i64>> = sqlx::query_scalar(
            "SELECT (extract(epoch FROM (SELECT min(e.at) FROM events e \
                     WHERE e.shard = r.shard AND e.run_id = r.run_id AND e.at > $2) - $2) * 1e6)::bigint \
             FROM runs r WHERE r.workflow = $1 AND r.started_at < $2 AND coalesce(r.closed_at > $2, true)",
        )
        .bind(workflow)
        .bind(at)
        .fetch_all(&mut self.connection)
        .await
        .map_err(store::Error::from)?;
        let silent = next.iter().filter(|next| next.is_none()).count();
        Ok((micros(next.into_iter().flatten()), f64::from(u32::try_from(silent).unwrap_or(u32::MAX))))
    }

    /// Bytes of all tables and indexes of runs.
    pub(super) async fn size(&mut self) -> Result<f64> {
        self.one(
            "SELECT sum(pg_total_relation_size(c.oid))::float8 FROM pg_class c \
             WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname NOT LIKE 'bare%'",
        )
        .await
    }

    /// Bytes of the tables, with their indexes, whose rows come and go.
    pub(super) async fn hot_size(&mut self) -> Result<f64> {
        self.one(
            "SELECT sum(pg_total_relation_size(c.oid))::float8 FROM pg_class c \
             WHERE c.relnamespace = current_schema()::regnamespace AND c.relname IN ('ready', 'owned', 'parked', 'inbox', 'hosts')",
        )
        .await
    }

    /// Runs that have ended.
    pub(super) async fn closed_runs(&mut self) -> Result<i64> {
        self.one("SELECT count(*) FROM runs WHERE state = 1").await
    }

    /// Events in all.
    pub(super) async fn events(&mut self) -> Result<f64> {
        self.one("SELECT count(*)::float8 FROM events").await
    }

    /// Transactions so far, of everybody in this database.
    pub(super) async fn transactions(&mut self) -> Result<f64> {
        self.one(
            "SELECT (xact_commit + xact_rollback)::float8 FROM pg_stat_database WHERE datname = current_database()",
        )
        .await
    }

    /// Take dead rows out.
    pub(super) async fn vacuum(&mut self) -> Result<()> {
        execute(&mut self.connection, "VACUUM".to_owned()).await
    }

    /// A parked run of the load `naps` that has napped so often, as a host would have left it.
    pub(super) async fn insert_naps(&mut self, count: u32) -> Result<Uuid> {
        let run_id = RunId::new().0;
        let sql = format!(
            "INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input, started_at) \
             SELECT shard_of('{run_id}'), '{run_id}', 'default', 'naps', component, version, 0, uuid_send('{run_id}'), \
                    '{count}', now() - interval '1 hour' FROM workflows WHERE workflow = 'naps'; \
             INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at) \
             SELECT shard_of('{run_id}'), '{run_id}', n, 1, n, '', '1', 0, false, 'null', \
                    now() - interval '1 hour' + n * interval '10 us', now() - interval '1 hour' + (n + 1) * interval '10 us' \
             FROM generate_series(0, {count} - 1) n; \
             INSERT INTO parked (shard, namespace, run_id, signals, updates, strikes, open_calls) \
             VALUES (shard_of('{run_id}'), 'default', '{run_id}', '{{go}}', '{{}}', 0, '[]')"
        );
        execute(&mut self.connection, sql).await?;
        execute(&mut self.connection, "VACUUM ANALYZE events".to_owned()).await?;
        Ok(run_id)
    }

    /// Runs that wait for a host.
    pub(super) async fn insert_ready(&mut self, count: u32) -> Result<()> {
        let sql = format!(
            "WITH new AS (INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input) \
             SELECT shard_of(u.id), u.id, 'default', 'steps', 'bench', 1, 0, uuid_send(u.id), '1' \
             FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, {count})) u RETURNING shard, run_id) \
             INSERT INTO ready (shard, namespace, run_id, strikes) SELECT shard, 'default', run_id, 0 FROM new"
        );
        execute(&mut self.connection, sql).await
    }

    /// Runs that have ended, with no history.
    pub(super) async fn insert_closed(&mut self, count: u32) -> Result<()> {
        let sql = format!(
            "INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input, state, \
                               result, closed_at) \
             SELECT shard_of(u.id), u.id, 'default', 'steps', 'bench', 1, 0, uuid_send(u.id), '1', 1, '1', now() \
             FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, {count})) u; VACUUM ANALYZE runs"
        );
        // Not in one transaction with the vacuum.
        for statement in sql.split(';') {
            execute(&mut self.connection, statement.to_owned()).await?;
        }
        Ok(())
    }

    /// No run is open any more, whatever it was at.
    pub(super) async fn end_all(&mut self) -> Result<()> {
        let sql = "TRUNCATE ready, owned, parked, inbox; \
                   UPDATE runs SET state = 2, result = 'null', closed_at = clock_timestamp() WHERE state = 0";
        execute(&mut self.connection, sql.to_owned()).await?;
        self.vacuum().await
    }

    async fn one<T>(&mut self, sql: &'static str) -> Result<T>
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        Ok(sqlx::query_scalar(sql).fetch_one(&mut self.connection).await.map_err(store::Error::from)?)
    }
}

pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    Ok(PgConnection::connect_with(options).await.map_err(ConnectError::Unreachable)?)
}

pub(super) async fn execute(connection: &mut PgConnection, sql: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map_err(store::Error::from)?;
    Ok(())
}

fn micros(all: impl IntoIterator<Item = i64>) -> Times {
    let mut times = Times::default();
    times.extend(all.into_iter().map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))));
    times
}
