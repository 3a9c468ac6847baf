//! One PostgreSQL server for all tests of a process, and a schema for each of them.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use windlass_host::postgres::{Binaries, Error, Server};
use windlass_host::store::Store;

use super::eventually;

/// An installation of its own.
#[derive(Clone, Debug)]
pub struct Database {
    /// How to connect.
    pub url: String,
    /// Its schema.
    pub schema: String,
}

impl Database {
    /// A new one. The schema is made by whoever connects first.
    pub async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let url = tokio::task::spawn_blocking(|| server().url()).await.expect("a server");
        let schema = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { url, schema }
    }

    /// The host's own way in.
    pub async fn store(&self) -> Store {
        Store::connect(&self.url, &self.schema).await.expect("a store")
    }

    /// A session for looking behind the host's back.
    pub async fn session(&self) -> PgConnection {
        let options: PgConnectOptions = self.url.parse().expect("a URL");
        let options = options.options([("search_path", &self.schema)]);
        PgConnection::connect_with(&options).await.expect("a session")
    }

    /// The text in the first row, if there is a row.
    pub async fn text(&self, query: &str) -> Option<String> {
        let mut session = self.session().await;
        let row = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_optional(&mut session).await;
        session.close().await.expect("closed");
        row.expect(query)
    }

    /// Every column of every table that could hold text, as text.
    pub async fn everything(&self) -> String {
        let mut session = self.session().await;
        let columns: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT table_name::text, column_name::text, data_type::text FROM information_schema.columns \
             WHERE table_schema = $1 AND table_name <> 'components' ORDER BY 1, 2",
        )
        .bind(&self.schema)
        .fetch_all(&mut session)
        .await
        .expect("columns");
        let mut all = String::new();
        for (table, column, kind) in columns {
            // Bytes as text where they are, and as hexadecimal.
            let value = if kind == "bytea" { format!("encode({column}, 'escape')") } else { format!("{column}::text") };
            let query = format!("SELECT coalesce(string_agg({value}, '\n'), '') FROM {table}");
            let text: String = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut session).await.expect("text");
            writeln!(all, "{table}.{column}\n{text}").expect("written");
        }
        all
    }

    /// Wait until somebody waits for what this session holds: no nap is long enough on a machine that is busy.
    pub async fn somebody_waits_for(&self, holder: &mut PgConnection) {
        let holder: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(holder).await.expect("a number");
        let waiting = format!("SELECT count(*) FROM pg_stat_activity WHERE {holder} = ANY (pg_blocking_pids(pid))");
        eventually("somebody waits", async || (self.count(&waiting).await > 0).then_some(())).await;
    }

    /// One number.
    pub async fn count(&self, query: &str) -> i64 {
        let mut session = self.session().await;
        let count = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&mut session).await;
        session.close().await.expect("closed");
        count.unwrap_or_else(|error| panic!("{query}: {error}"))
    }
}

/// The server. It ends with the process, however that ends.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        // Processes of several test runs take different folders; each is used again by later ones.
        let mut folders = (0..).map(|number| std::env::temp_dir().join(format!("windlass-test-{number}")));
        let server = folders.find_map(|folder| match Server::start(&folder, &Binaries::find().expect("installed")) {
            Err(Error::InUse(_)) => None,
            started => Some(started.unwrap_or_else(|error| panic!("{error}"))),
        });
        let server = server.expect("there is always another folder");
        forget_old_schemas(&server);
        server
    })
}

fn forget_old_schemas(server: &Server) {
    let url = server.url();
    let forget = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut session = PgConnection::connect(&url).await.expect("a session");
            let old: Vec<String> =
                sqlx::query_scalar("SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'test%'")
                    .fetch_all(&mut session)
                    .await
                    .expect("schemas");
            for schema in old {
                let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
                sqlx::query(drop).execute(&mut session).await.expect("dropped");
            }
            // Those of schemas that are gone: nothing depends on them any more.
            let old: Vec<String> = sqlx::query_scalar(
                "SELECT rolname::text FROM pg_roles WHERE rolname ~ '^(windlass_tenant|account_test)_'",
            )
            .fetch_all(&mut session)
            .await
            .expect("roles");
            for role in old {
                let drop = AssertSqlSafe(format!("DROP ROLE {role}"));
                sqlx::query(drop).execute(&mut session).await.expect("dropped");
            }
        });
    };
    std::thread::spawn(forget).join().expect("forgotten");
}
