//! Reaching the database, and bringing its schema up to date.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPoolOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio_rustls::rustls;

use super::Store;
use super::seals::Seals;
use super::tenant::Sessions;
use crate::model::Timestamp;

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
    /// Whoever answers, or anybody on the way, could read and change everything.
    #[error(
        "the connection to the database is not safe: {0}. A database that is not on this machine has to speak TLS and to show \
         that it is the one that was asked for. If its certificate is of an authority of your own, put \
         `sslrootcert=/path/to/ca.pem` into the URL, and there the name that the certificate is for. To do without, say so in \
         the URL: `sslmode=require` encrypts, and trusts whoever answers; `sslmode=disable` does not even encrypt"
    )]
    NotSafe(sqlx::Error),
    /// It may lose what it confirmed.
    #[error("the database runs with {0}: a commit could be lost in a crash, which Windlass promises never happens")]
    NotDurable(String),
    /// The role of the tenants.
    #[error("the database does not let tenants be kept apart: {}", said(.0))]
    Tenants(sqlx::Error),
    /// There is nothing to be dropped.
    #[error("there is no installation of this version in the schema `{0}`")]
    NoInstallation(String),
    /// It is not dropped.
    #[error("the installation is not dropped: {0}")]
    Drop(super::Error),
    /// A migration.
    #[error("the schema cannot be brought up to date: {0}")]
    Migrate(MigrateError),
}

/// Connections for the actors; tenants, the writers, the heartbeat and the listener have their own.
const POOL_SIZE: u32 = 8;

impl Store {
    /// Connect, create the schema if it is not there, and run the migrations that are missing.
    pub async fn connect(url: &str, schema: &str) -> Result<Self, ConnectError> {
        check_schema(schema)?;
        let options = connect_options(url)?.application_name("windlass").options([
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
        let mut connection = PgConnection::connect_with(&options).await.map_err(unreachable)?;
        check_durability(&mut connection).await?;
        create_schema(&mut connection, schema).await?;
        MIGRATIONS.run(&mut connection).await.map_err(ConnectError::Migrate)?;
        let role: String = sqlx::query_scalar("SELECT admit_tenants()")
            .fetch_one(&mut connection)
            .await
            .map_err(ConnectError::Tenants)?;
        connection.close().await.map_err(ConnectError::Unreachable)?;
        let pool = PgPoolOptions::new()
            .max_connections(POOL_SIZE)
            .acquire_timeout(Duration::from_secs(10))
            // Statements find out that a connection is gone; a ping before each would double the round trips.
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await
            .map_err(ConnectError::Unreachable)?;
        let tenants = Sessions::new(options.clone(), &role);
        Ok(Self { pool, tenants, seals: Seals::new(None), options, schema: schema.to_owned() })
    }

    /// Delete an installation with all that it has. Returns the role of its tenants, if that is left: somebody else has made it.
    pub async fn drop_installation(url: &str, schema: &str) -> Result<Option<String>, ConnectError> {
        check_schema(schema)?;
        let options = connect_options(url)?.application_name("windlass").options([("search_path", schema)]);
        let mut connection = PgConnection::connect_with(&options).await.map_err(unreachable)?;
        let found = sqlx::query_scalar("SELECT to_regproc(current_schema() || '.drop_installation') IS NOT NULL");
        if !found
            .fetch_one(&mut connection)
            .await
            .map(|found: Option<bool>| found == Some(true))
            .map_err(unreachable)?
        {
            return Err(ConnectError::NoInstallation(schema.to_owned()));
        }
        let dropped = sqlx::query_scalar("SELECT drop_installation()").fetch_one(&mut connection).await;
        let role = dropped.map_err(|error| ConnectError::Drop(error.into()))?;
        connection.close().await.map_err(ConnectError::Unreachable)?;
        Ok(role)
    }

    /// A connection of one's own.
    pub(super) async fn connection(&self) -> sqlx::Result<PgConnection> {
        PgConnection::connect_with(&self.options).await
    }

    /// Close all connections of the pool.
    pub async fn close(&self) {
        self.tenants.close().await;
        self.pool.close().await;
    }

    /// The name of the schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The database's time.
    pub async fn now(&self) -> super::Result<Timestamp> {
        let now: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(&self.pool).await?;
        Ok(now.into())
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> super::Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}

/// How a database is reached: over TLS that shows who answers, unless that is this machine, or the URL or `PGSSLMODE` says
/// otherwise.
pub fn connect_options(url: &str) -> Result<PgConnectOptions, ConnectError> {
    let options = PgConnectOptions::from_str(url).map_err(ConnectError::Url)?;
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let mut keys = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(key, _)| key));
    let is_said = keys.any(|key| ["sslmode", "ssl-mode"].contains(&key)) || std::env::var_os("PGSSLMODE").is_some();
    Ok(match options.get_ssl_mode() {
        PgSslMode::VerifyFull | PgSslMode::VerifyCa => options,
        _ if is_said && is_here(&options) => options,
        mode if is_said => {
            tracing::warn!(sslmode = ?mode, "whoever is between this host and its database could read and change everything");
            options
        }
        _ if is_here(&options) => options.ssl_mode(PgSslMode::Disable),
        _ => options.ssl_mode(PgSslMode::VerifyFull),
    })
}

/// Whether what is sent to the database stays on this machine.
fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    options.get_socket().is_some() || host.starts_with('/') || host == "localhost" || is_loopback
}

/// What the database says is wrong, and what it proposes.
fn said(error: &sqlx::Error) -> String {
    match error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) {
        Some(error) => [error.message()].into_iter().chain(error.hint()).collect::<Vec<_>>().join("; "),
        None => error.to_string(),
    }
}

/// The first connection says best what is wrong.
fn unreachable(error: sqlx::Error) -> ConnectError {
    let is_tls = match &error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()),
        _ => false,
    };
    if is_tls { ConnectError::NotSafe(error) } else { ConnectError::Unreachable(error) }
}

fn check_schema(schema: &str) -> Result<(), ConnectError> {
    let plain = schema.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
    if !plain || schema.len() > 63 || !schema.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err(ConnectError::Schema(schema.to_owned()));
    }
    Ok(())
}

/// Somebody else may have made it for a role that may not.
async fn create_schema(connection: &mut PgConnection, schema: &str) -> Result<(), ConnectError> {
    let exists = sqlx::query_scalar("SELECT to_regnamespace($1) IS NOT NULL").bind(schema).fetch_one(&mut *connection);
    if exists.await.map_err(ConnectError::Unreachable)? {
        return Ok(());
    }
    // Two hosts may start at once, and `IF NOT EXISTS` does not wait for the other.
    let create = sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA IF NOT EXISTS {schema}"))).execute(connection).await;
    match create {
        Err(error) if !error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
            Err(ConnectError::Unreachable(error))
        }
        _ => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> String {
        format!("{:?}", connect_options(url).unwrap().get_ssl_mode())
    }

    #[test]
    fn a_database_elsewhere_has_to_show_who_it_is_unless_the_url_says_otherwise() {
        for elsewhere in ["db.example.com", "10.0.0.7", "[fd00::7]", "localhost.example.com", "0.0.0.0"] {
            let url = format!("postgres://windlass@{elsewhere}/windlass");
            assert_eq!(mode(&url), "VerifyFull", "{url}");
            assert_eq!(mode(&format!("{url}?sslrootcert=/etc/ca.pem")), "VerifyFull", "{url}");
            assert_eq!(mode(&format!("{url}?sslmode=require")), "Require", "{url}");
            assert_eq!(mode(&format!("{url}?application_name=a&sslmode=disable")), "Disable", "{url}");
        }
        // What is in another parameter says nothing.
        assert_eq!(mode("postgres://windlass@db.example.com/windlass?application_name=sslmode"), "VerifyFull");
        assert_eq!(mode("postgres://localhost/windlass?host=db.example.com"), "VerifyFull");
    }

    #[test]
    fn a_database_on_this_machine_is_reached_as_ever() {
        for here in
            ["postgres://127.0.0.1/a", "postgres://localhost/a", "postgres://[::1]/a", "postgres:///a?host=/run/pg"]
        {
            assert_eq!(mode(here), "Disable", "{here}");
        }
        assert_eq!(mode("postgres://localhost/a?sslmode=verify-full"), "VerifyFull");
    }
}
