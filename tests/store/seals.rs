//! Payloads that the database keeps sealed.

use std::process::{Command, Stdio};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::harness::api::{Api, document};
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, MASTER_KEY, WINDLASS, windlass};

/// Nothing else in the whole of the database looks like this.
const WORD: &str = "canary-b41d07f2c9-sealed";

fn command(database: &Database, arguments: &[&str]) -> Command {
    let mut command = Command::new(WINDLASS);
    command.args(arguments).args(["--database-url", &database.url, "--schema", &database.schema]);
    command.env("WINDLASS_MASTER_KEY", MASTER_KEY);
    command
}

async fn serve(database: &Database) -> HostProcess {
    HostProcess::start(command(database, &["serve", "--insecure-no-auth", "--park-after", "50ms"])).await
}

async fn seal(host: &HostProcess, seal: &str) {
    let done = windlass(&host.server, &["namespace", "set", "default", "--seal-payloads", seal]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let shown = if seal == "true" { "payloads   sealed" } else { "payloads   not sealed" };
    assert!(done.stdout.contains(shown), "{}", done.stdout);
}

async fn started(api: &Api, word: &str) -> (StatusCode, Value) {
    api.post_once("/runs", "once", &json!({ "workflow": "gossips", "input": word })).await
}

async fn updated(api: &Api, run: &str, word: &str) -> (StatusCode, Value) {
    api.post_once(&format!("/runs/{run}/updates/word?wait=10s"), "u", &json!(word)).await
}

#[tokio::test]
async fn what_a_namespace_seals_is_nowhere_in_the_database_and_everywhere_else_as_ever() {
    let database = Database::new().await;
    let mut host = serve(&database).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    seal(&host, "true").await;
    let (status, run) = started(&host.api, WORD).await;
    assert_eq!(status, StatusCode::CREATED, "{run}");
    let run = run["run_id"].as_str().expect("an id").to_owned();
    eventually("it is parked", async || {
        (host.api.get(&format!("/runs/{run}")).await["state"] == "waiting").then_some(())
    })
    .await;
    assert!(!database.everything().await.contains(WORD));

    // Another host finds all of it in the database.
    host.kill();
    let host = serve(&database).await;
    let (status, again) = started(&host.api, WORD).await;
    assert_eq!((status, &again["run_id"]), (StatusCode::OK, &json!(run)));
    assert_eq!(started(&host.api, "another").await.0, StatusCode::CONFLICT);
    for _ in 0..2 {
        let (status, answer) = updated(&host.api, &run, WORD).await;
        assert!(status.is_success(), "{answer}");
        assert_eq!(answer["result"], WORD, "{answer}");
    }
    assert_eq!(updated(&host.api, &run, "another").await.0, StatusCode::CONFLICT);
    host.api.signal(&run, "word", json!(WORD)).await;
    assert_eq!(host.api.result(&run).await, json!([WORD, WORD, WORD, WORD]));
    let failed = host.api.start("blurts", json!(WORD)).await;
    assert!(document(&host.api.end(&failed).await).to_string().contains(WORD));

    for path in ["", "/history", "/logs", "/state"] {
        let shown = host.api.get(&format!("/runs/{run}{path}")).await.to_string();
        assert!(shown.contains(WORD), "{path}: {shown}");
    }
    let rows = database.everything().await;
    assert!(rows.contains("whispers") && rows.contains("once"), "what was looked through is what there is");
    assert!(!rows.contains(WORD));
    let sealed = ["runs.input", "runs.result", "events.input", "events.outcome", "published.value", "updates.answer"];
    for (table, column) in sealed.map(|place| place.split_once('.').expect("both")) {
        let open = format!("SELECT count(*) FROM {table} WHERE get_byte({column}, 0) <> 1");
        assert_eq!(database.count(&open).await, 0, "{table}.{column}");
        assert!(database.count(&format!("SELECT count({column}) FROM {table}")).await > 0, "{table}.{column}");
    }
    assert_eq!(database.count("SELECT count(*) FROM attempts WHERE failure IS NOT NULL").await, 1);
}

#[tokio::test]
async fn what_was_kept_otherwise_stays_readable_when_sealing_begins_and_ends_and_keys_change() {
    let database = Database::new().await;
    let host = serve(&database).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let mut runs = vec![host.api.start("repeats", json!(WORD)).await];
    host.api.result(&runs[0]).await;
    for (what, is_sealed) in [("true", 1), ("rewrap", 1), ("false", 0)] {
        if what == "rewrap" {
            let mut rewrap = command(&database, &["secret", "rewrap", "--new-data-keys"]);
            let done = tokio::task::spawn_blocking(move || rewrap.output()).await.expect("joined").expect("it runs");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            // What hosts remember of it is forgotten.
            tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        } else {
            seal(&host, what).await;
        }
        let run = host.api.start("repeats", json!(WORD)).await;
        host.api.result(&run).await;
        let kept = format!("SELECT (get_byte(input, 0) = 1)::integer::bigint FROM runs WHERE run_id = '{run}'");
        assert_eq!(database.count(&kept).await, is_sealed, "{what}");
        runs.push(run);
    }
    assert_eq!(database.count("SELECT count(*) FROM data_keys WHERE opens_payloads").await, 2);
    for run in &runs {
        assert_eq!(host.api.result(run).await, WORD);
        assert!(host.api.get(&format!("/runs/{run}")).await.to_string().contains(WORD));
    }
    let changes = "SELECT count(*) FROM audit_log WHERE what = 'namespace.change' AND details LIKE '%seal_payloads%'";
    assert_eq!(database.count(changes).await, 2);
}

#[tokio::test]
async fn a_host_that_does_not_have_the_master_key_neither_seals_nor_serves_what_is_sealed() {
    let database = Database::new().await;
    let without = HostProcess::serve(&database, &[]).await;
    let refused = windlass(&without.server, &["namespace", "set", "default", "--seal-payloads", "true"]).await;
    assert!(refused.stderr.contains("no-master-key"), "{}", refused.stderr);
    drop(without);
    seal(&serve(&database).await, "true").await;
    let mut command = command(&database, &["serve", "--insecure-no-auth", "--listen", "127.0.0.1:0"]);
    command.env_remove("WINDLASS_MASTER_KEY").stdin(Stdio::null());
    let refused = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("which this host does not have"), "{said}");
}

/// Whoever can write to the database, and has a namespace of its own, reads nothing of another's.
#[tokio::test]
async fn what_one_namespace_has_sealed_does_not_open_in_another() {
    let database = Database::new().await;
    let host = serve(&database).await;
    let created = windlass(&host.server, &["namespace", "create", "other", "--seal-payloads", "true"]).await;
    assert_eq!(created.code, Some(0), "{}", created.stderr);
    seal(&host, "true").await;
    let (own, other) = (host.api.clone(), host.api.in_namespace("other"));
    let mut runs = Vec::new();
    for (api, word) in [(&own, WORD), (&other, "harmless")] {
        api.deploy(guest_bytes("probe"), "").await.expect("deployed");
        let run = api.start("repeats", json!(word)).await;
        assert_eq!(api.result(&run).await, word);
        runs.push(run);
    }
    let moved = format!(
        "UPDATE runs SET result = (SELECT result FROM runs WHERE run_id = '{}') WHERE run_id = '{}'",
        runs[0], runs[1]
    );
    sqlx::query(AssertSqlSafe(moved)).execute(&mut database.session().await).await.expect("moved");
    let answer = other.request(Method::GET, &format!("/runs/{}", runs[1]), "").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.text().await.expect("text").contains(WORD));
    assert_eq!(own.result(&runs[0]).await, WORD);
}
