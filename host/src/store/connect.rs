//! Reaching the database, and bringing its schema up to date.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::Store;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL.
    #[error("the database URL is not valid: {0}")]
    Url(sqlx::Error),
    /// The schema's name.
    #[error(
        "`{0}` cannot be the name of a schema: it has 1 to 63 characters out of a-z, 0-9 and `_`, and begins with a letter"
    )]
    Schema(String),
    /// The server.
    #[error("the database cannot be reached: {0}")]
    Unreachable(sqlx::Error),
    /// It may lose what it confirmed.
    #[error("the database runs with {0}: a commit could be lost in a crash, which Windlass promises never happens")]
    NotDurable(String),
    /// A migration.
    #[error("the schema cannot be brought up to date: {0}")]
    Migrate(MigrateError),
}

/// Connections for the API and for the actors; the writers, the heartbeat and the listener have their own.
const POOL_SIZE: u32 = 8;

impl Store {
    /// Connect, create the schema if it is not there, and run the migrations that are missing.
    pub async fn connect(url: &str, schema: &str) -> Result<Self, ConnectError> {
        let plain = schema.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
        if !plain || schema.len() > 63 || !schema.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(ConnectError::Schema(schema.to_owned()));
        }
        let options =
            PgConnectOptions::from_str(url).map_err(ConnectError::Url)?.application_name("windlass").options([
                ("search_path", schema),
                // A session that hangs in a transaction holds locks; none of ours should, ever.
                ("idle_in_transaction_session_timeout", "10s"),
                ("statement_timeout", "60s"),
                // Every statement of ours finds its rows by key, however many rows there are and whatever the statistics
                // say, which come late where tables grow by thousands of rows a second; and it is planned once.
                ("plan_cache_mode", "force_generic_plan"),
                ("enable_seqscan", "off"),
                // It would be tempted by the price of what is off.
                ("jit", "off"),
            ]);
        let mut connection = PgConnection::connect_with(&options).await.map_err(ConnectError::Unreachable)?;
        check_durability(&mut connection).await?;
        let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
        // Two hosts may start at once, and `IF NOT EXISTS` does not wait for the other.
        let created = sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await;
        if let Err(error) = created {
            let unique_violation = error.as_database_error().and_then(|error| error.code()).as_deref() == Some("23505");
            if !unique_violation {
                return Err(ConnectError::Unreachable(error));
            }
        }
        MIGRATIONS.run(&mut connection).await.map_err(ConnectError::Migrate)?;
        connection.close().await.map_err(ConnectError::Unreachable)?;
        let pool = PgPoolOptions::new()
            .max_connections(POOL_SIZE)
            .acquire_timeout(Duration::from_secs(10))
            // Statements find out that a connection is gone; a ping before each would double the round trips.
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await
            .map_err(ConnectError::Unreachable)?;
        Ok(Self { pool, options, schema: schema.to_owned() })
    }

    /// A connection of one's own.
    pub(super) async fn connection(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.options).await
    }

    /// Close all connections of the pool.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The name of the schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> super::Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}

async fn check_durability(connection: &mut PgConnection) -> Result<(), ConnectError> {
    let settings: (String, String) =
        sqlx::query_as("SELECT current_setting('fsync'), current_setting('synchronous_commit')")
            .fetch_one(connection)
            .await
            .map_err(ConnectError::Unreachable)?;
    match settings {
        (fsync, _) if fsync != "on" => Err(ConnectError::NotDurable(format!("fsync = {fsync}"))),
        (_, commit) if commit == "off" => Err(ConnectError::NotDurable(format!("synchronous_commit = {commit}"))),
        _ => Ok(()),
    }
}
