//! Row-level security: what a statement finds that forgot to ask for the namespace.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;
use windlass_host::model::{Namespace, RunId};
use windlass_host::store::{RunFilter, Store};

use super::sql::{Sql, execute};
use super::tenants::{OF_NO_TENANT, run_with_everything, used};
use crate::harness::database::Database;
use crate::harness::guests::repository;

/// What no tenant has to do with.
const OF_HOSTS: [&str; 3] = ["_sqlx_migrations", "hosts", "storage"];

/// Rows of the tenant `default` in the tables that a run with everything leaves empty.
const THE_REST: [&str; 18] = [
    "INSERT INTO run_tags (namespace, tag, started_at, run_id, shard) VALUES ('default', 'a=b', now(), RUN, 0)",
    "INSERT INTO components (namespace, digest, bytes) VALUES ('default', sha256('x'), 'x')",
    "INSERT INTO ready (shard, run_id, namespace, strikes) VALUES (0, RUN, 'default', 0)",
    "INSERT INTO parked (shard, run_id, namespace, signals, updates, strikes, open_calls) \
     VALUES (shard_of(RUN), RUN, 'default', '{}', '{}', 0, '[]')",
    "INSERT INTO paused (shard, run_id, namespace, strikes, open_calls) VALUES (shard_of(RUN), RUN, 'default', 0, '[]')",
    "INSERT INTO resumes (namespace) VALUES ('default')",
    "INSERT INTO pins (namespace, component, version) VALUES ('default', 'c', 1)",
    "INSERT INTO queued (shard, run_id, namespace, gate_id, level, priority) VALUES (shard_of(RUN), RUN, 'default', 1, 2, 3)",
    "INSERT INTO concurrency (namespace, workflow, max_runs) VALUES ('default', 'another', 1)",
    "INSERT INTO gates (namespace, workflow, key) VALUES ('default', 'another', '')",
    "INSERT INTO slots (shard, run_id, gate_id, namespace) VALUES (shard_of(RUN), RUN, 1, 'default')",
    "INSERT INTO rate_limits (namespace, step, per_second, burst) VALUES ('default', 's', 1, 1)",
    "INSERT INTO pauses (namespace, workflow) VALUES ('default', 'another')",
    "INSERT INTO children (shard, run_id, call, child_id, abandon) VALUES (shard_of(RUN), RUN, 0, RUN, false)",
    "SELECT send_signal('default', RUN, 's', 'null', 'id', 10)",
    "SELECT make_archive('infinity')",
    "INSERT INTO archived_runs SELECT 'infinity', shard, run_id, 0, namespace, workflow, component, version, \
     1, started_at, now(), NULL, true, '{}' FROM runs",
    "SELECT create_key('default', 'abcdefghij', sha256('x'), '{read}', 'x', NULL, 'dev', 10)",
];

/// A database with the tenant `default`, of whom there is something in every table, and the tenant `other`.
async fn database() -> (Sql, Uuid) {
    let mut sql = Sql::new().await;
    let run = run_with_everything(&mut sql).await;
    sql.run("INSERT INTO namespaces (namespace) VALUES ('other')").await;
    for statement in THE_REST {
        sql.run(&statement.replace("RUN", &format!("'{run}'"))).await;
    }
    (sql, run)
}

/// A session that speaks for a namespace, as the host has them.
async fn speak_for(sql: &Sql, namespace: &str) -> PgConnection {
    let role = sql.database.text("SELECT tenant_role()").await.expect("a role");
    let mut session = sql.database.session().await;
    execute(&mut session, &format!("SET ROLE {role}")).await.expect("in the role");
    execute(&mut session, &format!("SET windlass.namespace = '{namespace}'")).await.expect("said");
    session
}

async fn count(session: &mut PgConnection, from: &str) -> i64 {
    let query = format!("SELECT count(*) FROM {from}");
    let rows = sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(session).await;
    rows.unwrap_or_else(|error| panic!("{from}: {error}"))
}

async fn tables(sql: &mut Sql, which: &str) -> BTreeSet<String> {
    let query = format!(
        "SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = current_schema()::regnamespace AND {which}"
    );
    sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(&mut sql.session).await.expect("tables").into_iter().collect()
}

#[tokio::test]
async fn whoever_speaks_for_a_tenant_finds_and_changes_nothing_of_another_whatever_is_asked() {
    let (mut sql, _) = database().await;
    let (mut own, mut other) = (speak_for(&sql, "default").await, speak_for(&sql, "other").await);
    let may = |what: &str| format!("has_table_privilege(tenant_role(), c.oid, '{what}')");
    let read = tables(&mut sql, &may("SELECT")).await;
    assert_eq!(read, tables(&mut sql, "c.relrowsecurity").await);
    let all = tables(&mut sql, "true").await;
    assert_eq!(all.difference(&read).map(String::as_str).collect::<Vec<_>>(), OF_HOSTS);
    for table in &read {
        let of_default = if table == "namespaces" { "namespaces WHERE namespace = 'default'" } else { table };
        let there = count(&mut sql.session, of_default).await;
        assert!(there > 0, "{table} is empty, which shows nothing");
        assert_eq!(count(&mut own, table).await, there, "{table}, as its own tenant");
        let found = i64::from(table == "namespaces");
        assert_eq!(count(&mut other, table).await, found, "{table}, as another tenant");
    }
    for table in tables(&mut sql, &may("DELETE")).await {
        let gone = sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(&mut other).await;
        assert_eq!(gone.expect("asked").rows_affected(), 0, "{table}");
    }
    let moved = "UPDATE runs SET cancelled_at = clock_timestamp()";
    assert_eq!(sqlx::query(moved).execute(&mut other).await.expect("asked").rows_affected(), 0);
}

/// What the database answers.
async fn refusal(session: &mut PgConnection, statement: &str) -> String {
    let error = execute(session, statement).await.expect_err(statement);
    error.as_database_error().expect("of the database").message().to_owned()
}

#[tokio::test]
async fn whoever_speaks_for_a_tenant_writes_nothing_in_the_name_of_another_and_no_history_at_all() {
    let (sql, run) = database().await;
    let mut other = speak_for(&sql, "other").await;
    let forged = [
        ("grants", "INSERT INTO grants (namespace, component, http_grant) VALUES ('default', 'c', '*')".to_owned()),
        (
            "inbox",
            format!(
                "INSERT INTO inbox (shard, run_id, kind, name, payload) VALUES (shard_of('{run}'), '{run}', 0, 'go', 'null')"
            ),
        ),
        ("audit_log", "SELECT audit('default', 'dev', 'run.cancel', 'x', '{}')".to_owned()),
        ("ready", format!("INSERT INTO ready (shard, run_id, namespace, strikes) VALUES (0, '{run}', 'default', 0)")),
    ];
    for (table, statement) in forged {
        let refusal = refusal(&mut other, &statement).await;
        let of_audit = table == "audit_log" && refusal.contains("audit_heads");
        assert!(refusal.contains("row-level security policy") && (of_audit || refusal.contains(table)), "{refusal}");
    }
    let mut own = speak_for(&sql, "default").await;
    for statement in
        ["DELETE FROM events", "DELETE FROM audit_log", "UPDATE audit_log SET who = 'x'", "SELECT * FROM hosts"]
    {
        assert!(refusal(&mut own, statement).await.contains("permission denied"), "{statement}");
    }
    let mut nobody = sql.database.session().await;
    let role = sql.database.text("SELECT tenant_role()").await.expect("a role");
    execute(&mut nobody, &format!("SET ROLE {role}")).await.expect("in the role");
    assert!(refusal(&mut nobody, "SELECT * FROM runs").await.contains("windlass.namespace"));
}

/// The functions of the store, with their bodies.
fn functions() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(repository().join("host/src/store")).expect("the store");
    let text: String =
        folder.map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("text")).collect();
    let begin = regex::Regex::new(r"pub(?:\(super\))? async fn ([a-z_]+)\(").expect("a pattern");
    let starts: Vec<_> =
        begin.captures_iter(&text).map(|found| (found[1].to_owned(), found.get(0).expect("all").start())).collect();
    let ends = starts.iter().skip(1).map(|(_, start)| *start).chain([text.len()]);
    starts.iter().zip(ends).map(|((name, start), end)| (name.clone(), text[*start..end].to_owned())).collect()
}

#[test]
fn whatever_is_asked_for_at_the_api_is_asked_in_the_role_of_the_tenant() {
    // It is the host that accepts a run, and that owns it from then on: what it writes is fenced by its lease. So it is with the runs
    // of a schedule. And no tenant's session adds to a history or takes from it.
    let of_hosts = OF_NO_TENANT
        .iter()
        .map(|(name, _)| *name)
        .chain(["start_run", "trigger_schedule", "backfill_schedule", "rewind_run", "fork_run"])
        .collect::<BTreeSet<_>>();
    let functions = functions();
    for name in used().iter().filter(|name| !of_hosts.contains(name.as_str())) {
        let (_, body) = functions.iter().find(|(function, _)| function == name).expect(name);
        let of_tenants = ["self.tenant(", "self.within(", "self.sealed_secrets("];
        assert!(of_tenants.iter().any(|session| body.contains(session)), "{name} speaks as the owner");
    }
}

#[tokio::test]
async fn a_host_needs_no_more_of_the_database_than_a_schema_and_a_role_and_says_which() {
    let database = Database::new().await;
    let account = format!("account_{}", database.schema);
    let mut admin = database.session().await;
    execute(&mut admin, &format!("CREATE ROLE {account} LOGIN")).await.expect("an account");
    execute(&mut admin, &format!("CREATE SCHEMA {} AUTHORIZATION {account}", database.schema)).await.expect("a schema");
    let url = database.url.replacen("windlass@", &format!("{account}@"), 1);
    assert_ne!(url, database.url);
    let refused = Store::connect(&url, &database.schema).await.expect_err("it may not make a role").to_string();
    let hint = refused.split_once("let somebody who may run: ").expect(&refused).1;
    let shown = regex::Regex::new(r"windlass_tenant_\d+_\d+").expect("a pattern").replace_all(&refused, "ROLE");
    insta::assert_snapshot!(shown.replace(&account, "ACCOUNT"));
    for statement in hint.split_inclusive(';') {
        execute(&mut admin, statement).await.expect(statement);
    }
    let store = Store::connect(&url, &database.schema).await.expect("now it can");
    let (namespace, nobody) = (Namespace::new("default").expect("a namespace"), RunId::new());
    assert!(store.get_run(&namespace, nobody).await.expect("asked").is_none());
    let found = store.list_runs(&namespace, &RunFilter::default(), None, 10).await.expect("asked");
    assert!(found.runs.is_empty());
    store.close().await;
    let role: String = sqlx::query_scalar("SELECT tenant_role()").fetch_one(&mut admin).await.expect("a role");
    for statement in [format!("DROP SCHEMA {} CASCADE", database.schema), format!("DROP ROLE {role}, {account}")] {
        execute(&mut admin, &statement).await.expect("dropped");
    }
    admin.close().await.expect("closed");
}
