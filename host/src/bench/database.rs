//! The database under the loads, from outside: what it does by itself, and what is in it.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::error::Result;
use super::quantiles::Times;
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
        let options: PgConnectOptions = url.parse().map_err(ConnectError::Url)?;
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
}

pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    Ok(PgConnection::connect_with(options).await.map_err(ConnectError::Unreachable)?)
}

pub(super) async fn execute(connection: &mut PgConnection, sql: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map_err(store::Error::from)?;
    Ok(())
}
