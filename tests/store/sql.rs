//! The functions of the database, called by hand.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::harness::database::Database;

/// A database with a host, a workflow and nothing else; the functions are called by hand.
pub(super) struct Sql {
    pub(super) database: Database,
    pub(super) session: PgConnection,
    pub(super) host: Uuid,
}

impl Sql {
    pub(super) async fn new() -> Self {
        let database = Database::new().await;
        database.store().await;
        let mut sql = Self { session: database.session().await, database, host: Uuid::now_v7() };
        sql.run("INSERT INTO versions (namespace, component, version, digest, manifest) VALUES ('default', 'c', 1, '\\x00', '{}')").await;
        sql.run("INSERT INTO workflows VALUES ('default', 'w', 'c', 1)").await;
        let host = sql.host;
        sql.run(&format!("SELECT take_lease('{host}', 'test', '1h')")).await;
        sql
    }

    pub(super) async fn run(&mut self, statement: &str) {
        execute(&mut self.session, statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    pub(super) async fn value(&mut self, query: &str) -> Value {
        let query = format!("SELECT to_jsonb(q) FROM ({query}) q");
        sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(&mut self.session).await.expect("a row")
    }

    /// A run that is ready, or owned by the host.
    pub(super) async fn start(&mut self, is_owned: bool) -> Uuid {
        let run = Uuid::now_v7();
        let host = if is_owned { format!("'{}', 1", self.host) } else { "NULL, NULL".to_owned() };
        let start = format!(
            "SELECT * FROM start_runs({host}, '{{default}}', '{{{run}}}', '{{w}}', '{{0}}',
             ARRAY['\\x00000000000000000000000000000000'::bytea], '{{NULL}}', ARRAY['null'::bytea], '{{NULL}}')"
        );
        assert_eq!(self.value(&start).await["outcome"], 0);
        run
    }

    pub(super) fn commit(&self, epoch: i64, events: &str, parks: &str) -> String {
        let nothing = "'{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'";
        let events = if events.is_empty() { nothing } else { events };
        let parks = if parks.is_empty() { "'{}', '{}', '{}', '{}', '{}', '{}'" } else { parks };
        // Attempts, logs, values, children, releases, answers, discards, continuations, ends.
        let between = "'{}', ".repeat(8 + 6 + 3 + 8 + 2 + 4 + 2 + 7 + 3);
        format!("SELECT * FROM commit_batch('{}', {epoch}, {events}, {between} {parks})", self.host)
    }
}

pub(super) fn event(run: Uuid, seq: u32, outcome: &str) -> String {
    format!(
        "'{{{run}}}', '{{{seq}}}', '{{0}}', '{{{seq}}}', '{{s}}', ARRAY['1'::bytea], '{{1}}', '{{f}}', ARRAY['{outcome}'::bytea],
         '{{2026-01-01}}', '{{2026-01-02}}', '{{NULL}}'"
    )
}

pub(super) fn park(run: Uuid) -> String {
    format!("'{{{run}}}', '{{NULL}}', '{{go}}', ARRAY[''], '{{0}}', ARRAY['[]'::bytea]")
}

pub(super) async fn execute(session: &mut PgConnection, statement: &str) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(session).await.map(drop)
}
