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
        let parts = [events, parks].map(|part| if part.is_empty() { String::new() } else { format!(", {part}") });
        format!("SELECT * FROM commit_batch('{}', {epoch}{})", self.host, parts.concat())
    }
}

pub(super) fn event(run: Uuid, seq: u32, outcome: &str) -> String {
    format!(
        "e_runs => '{{{run}}}', e_seqs => '{{{seq}}}', e_kinds => '{{0}}', e_calls => '{{{seq}}}', e_names => '{{s}}',
         e_inputs => ARRAY['1'::bytea], e_attempts => '{{1}}', e_failed => '{{f}}', e_outcomes => ARRAY['{outcome}'::bytea],
         e_asked_ats => '{{2026-01-01}}', e_ats => '{{2026-01-02}}', e_inbox => '{{NULL}}'"
    )
}

pub(super) fn park(run: Uuid) -> String {
    format!(
        "w_runs => '{{{run}}}', w_wake_ats => '{{NULL}}', w_signals => '{{go}}', w_updates => ARRAY[''], w_strikes => '{{0}}',
         w_open_calls => ARRAY['[]'::bytea]"
    )
}

pub(super) async fn execute(session: &mut PgConnection, statement: &str) -> sqlx::Result<()> {
    sqlx::query(AssertSqlSafe(statement.to_owned())).execute(session).await.map(drop)
}
