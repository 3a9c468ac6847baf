//! Histories in every form in which there were any: read, replayed, and gone on with. `tests/golden/README.md` says what is there.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use windlass_host::model::{HISTORY_FORM, RunState};

use super::divergence::with;
use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::ended::{make_ripe, sql};
use crate::harness::eventually;
use crate::harness::guests::repository;
use crate::harness::host::{HostProcess, WINDLASS, windlass, windlass_with};

/// A call of every kind, and then a wait.
const SCRIPT: &str = "s1r2;t3;s4c5m6;g7;u8;s9;g0";

/// Events of that.
const EVENTS: usize = 9;

/// One that keeps its payloads as they are, and one that seals them.
const NAMESPACES: [&str; 2] = ["default", "sealed"];

/// In order: what others need comes first.
const TABLES: [&str; 5] = ["namespaces", "data_keys", "runs", "events", "parked"];

fn master_key() -> String {
    base64::engine::general_purpose::STANDARD.encode([7; 32])
}

fn folder(form: u16) -> PathBuf {
    repository().join(format!("tests/golden/{form}"))
}

fn read(form: u16, file: &str) -> String {
    let path = folder(form).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn serve(database: &Database, options: &[&str]) -> HostProcess {
    let mut command = Command::new(WINDLASS);
    command.args(["serve", "--insecure-no-auth", "--database-url", &database.url, "--schema", &database.schema]);
    command.args(["--park-after", "10ms"]).args(options).env("WINDLASS_MASTER_KEY", master_key());
    HostProcess::start(command).await
}

/// The events of a run, as the API tells of them.
async fn events(api: &Api, run: &str) -> Value {
    api.get(&format!("/runs/{run}/history")).await["events"].take()
}

/// Put rows where they were.
async fn put_back(database: &Database, rows: &str) {
    let mut session = database.session().await;
    for line in rows.lines() {
        let line: Value = serde_json::from_str(line).expect("a row");
        let (table, row) = (line["table"].as_str().expect("a table"), &line["row"]);
        assert!(TABLES.contains(&table), "{table}");
        let columns: Vec<_> = row.as_object().expect("columns").keys().map(String::as_str).collect();
        let columns = columns.join(", ");
        let put = format!(
            "INSERT INTO {table} ({columns}) SELECT {columns} FROM jsonb_populate_record(NULL::{table}, $1)
             ON CONFLICT DO NOTHING"
        );
        sqlx::query(AssertSqlSafe(put))
            .bind(row)
            .execute(&mut session)
            .await
            .unwrap_or_else(|error| panic!("{table}: {error}"));
    }
}

#[tokio::test]
async fn a_run_of_every_form_goes_on_from_its_rows_sealed_or_not() {
    for form in 1..=HISTORY_FORM {
        let database = Database::new().await;
        database.store().await;
        put_back(&database, &read(form, "rows.jsonl")).await;
        let host = serve(&database, &[]).await;
        let golden: Value = serde_json::from_str(&read(form, "history.json")).expect("histories");
        for namespace in NAMESPACES {
            let api = host.api.in_namespace(namespace);
            assert_eq!(api.deploy(with(SCRIPT), "").await.expect("deployed").version, 1);
            let run = golden[namespace]["run"]["run_id"].as_str().expect("a run");
            assert_eq!(events(&api, run).await, golden[namespace]["events"], "form {form}, {namespace}");
            assert!(api.signal(run, "0", json!(1)).await.status().is_success());
            assert_eq!(api.result(run).await, "done", "form {form}, {namespace}");
            let after = events(&api, run).await;
            let after = after.as_array().expect("events");
            assert_eq!(after.len(), EVENTS + 1, "form {form}, {namespace}");
            assert_eq!(json!(after[..EVENTS]), golden[namespace]["events"], "form {form}, {namespace}");
        }
    }
}

#[tokio::test]
async fn a_history_of_every_form_is_replayed_from_its_files() {
    let component = std::env::temp_dir().join(format!("windlass-golden-{}.wasm", uuid::Uuid::now_v7()));
    std::fs::write(&component, with(SCRIPT)).expect("written");
    let component_path = component.to_str().expect("a path");
    let (key, nowhere) = (master_key(), "http://127.0.0.1:1");
    for form in 1..=HISTORY_FORM {
        for namespace in NAMESPACES {
            let file = folder(form).join(format!("archive-{namespace}.jsonl"));
            let arguments = ["replay", file.to_str().expect("a path"), "--against", component_path];
            let replayed = windlass_with(nowhere, &arguments, &[("WINDLASS_MASTER_KEY", &key)]).await;
            let told = format!("{} events, completed", EVENTS + 1);
            assert_eq!(replayed.stdout.trim(), told, "form {form}, {namespace}: {}", replayed.stderr);
        }
        let golden: Value = serde_json::from_str(&read(form, "history.json")).expect("histories");
        for namespace in NAMESPACES {
            let file = std::env::temp_dir().join(format!("windlass-golden-{}.json", uuid::Uuid::now_v7()));
            std::fs::write(&file, golden[namespace].to_string()).expect("written");
            let arguments = ["replay", file.to_str().expect("a path"), "--against", component_path];
            let replayed = windlass(nowhere, &arguments).await;
            let told = format!("{EVENTS} events, waiting");
            assert_eq!(replayed.stdout.trim(), told, "form {form}, {namespace}: {}", replayed.stderr);
            std::fs::remove_file(file).expect("removed");
        }
    }
    std::fs::remove_file(component).expect("removed");
}

#[tokio::test]
async fn every_form_of_a_history_has_its_golden_files_and_they_have_what_is_written_now() {
    let folders = std::fs::read_dir(repository().join("tests/golden")).expect("a folder");
    let folders = folders.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let forms: BTreeSet<u16> = folders.map(|path| form_of(&path)).collect();
    assert_eq!(forms, (1..=HISTORY_FORM).collect(), "see tests/golden/README.md");
    // The newest has every column that an event has, so that a change of the table is one of the form.
    let database = Database::new().await;
    database.store().await;
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT column_name::text FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'events'",
    )
    .bind(&database.schema)
    .fetch_all(&mut database.session().await)
    .await
    .expect("columns");
    let rows = read(HISTORY_FORM, "rows.jsonl");
    let event = rows.lines().find(|line| line.starts_with(r#"{"table":"events""#)).expect("an event");
    let event: Value = serde_json::from_str(event).expect("a row");
    let golden: BTreeSet<_> = event["row"].as_object().expect("columns").keys().cloned().collect();
    assert_eq!(golden, columns.into_iter().collect(), "another form: see tests/golden/README.md");
}

fn form_of(path: &Path) -> u16 {
    path.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("a number")
}

/// `cargo test -p windlass-host --test windlass golden -- --ignored` writes the files of the form that this release writes.
#[tokio::test]
#[ignore = "writes golden files: see tests/golden/README.md"]
async fn write_golden_files_of_the_form_of_this_release() {
    let database = Database::new().await;
    let exported = std::env::temp_dir().join(format!("windlass-golden-{}", uuid::Uuid::now_v7()));
    let store = format!("file://{}", exported.display());
    let host = serve(&database, &["--archive-every", "50ms", "--archive-store", &store]).await;
    for arguments in [&["create", "sealed"][..], &["set", "sealed", "--seal-payloads", "true"]] {
        let done = windlass(&host.server, &[&["namespace"], arguments].concat()).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
    }
    std::fs::create_dir_all(folder(HISTORY_FORM)).expect("a folder");
    let write = |file: &str, text: String| std::fs::write(folder(HISTORY_FORM).join(file), text).expect("written");
    let (mut histories, mut runs) = (serde_json::Map::new(), Vec::new());
    for namespace in NAMESPACES {
        let api = host.api.in_namespace(namespace);
        api.deploy(with(SCRIPT), "").await.expect("deployed");
        let run = api.start("script", json!({ "of": namespace })).await;
        assert!(api.signal(&run, "7", json!({ "approved": true })).await.status().is_success());
        assert!(api.request(Method::POST, &format!("/runs/{run}/updates/8"), "[1,2]").await.status().is_success());
        api.wait_for_events(&run, u32::try_from(EVENTS).expect("few")).await;
        api.wait_for_state(&run, RunState::Waiting).await;
        histories.insert(namespace.to_owned(), api.get(&format!("/runs/{run}/history")).await);
        runs.push(run);
    }
    write("history.json", serde_json::to_string_pretty(&histories).expect("JSON") + "\n");
    let mut rows = String::new();
    for table in TABLES {
        let dumped =
            format!("SELECT '{{\"table\":\"{table}\",\"row\":' || to_jsonb(t)::text || '}}' FROM {table} t ORDER BY 1");
        let dumped: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(dumped)).fetch_all(&mut database.session().await).await.expect("rows");
        rows.extend(dumped.iter().flat_map(|row| [row.as_str(), "\n"]));
    }
    write("rows.jsonl", rows);
    for (namespace, run) in NAMESPACES.into_iter().zip(&runs) {
        let api = host.api.in_namespace(namespace);
        api.signal(run, "0", json!(1)).await;
        api.result(run).await;
        let keeping =
            ["--archive-after", "1d", "--keep-keys", "1h", "--delete-after", "2d", "--export-archive", "true"];
        sql(&database, &format!("UPDATE runs SET started_at = started_at - interval '10 days', closed_at = closed_at - interval '10 days' WHERE run_id = '{run}'")).await;
        let done = windlass(&host.server, &[&["namespace", "set", namespace][..], &keeping].concat()).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let archived = format!("SELECT count(*) FROM archived_runs WHERE run_id = '{run}'");
        eventually("it is archived", async || (database.count(&archived).await == 1).then_some(())).await;
        make_ripe(&database, namespace).await;
        eventually("it is exported", async || (database.count(&archived).await == 0).then_some(())).await;
        let day =
            std::fs::read_dir(exported.join(namespace)).expect("days").next().expect("a day").expect("a day").path();
        let compressed = std::fs::read(day.join("00001.jsonl.gz")).expect("a file");
        let mut lines = String::new();
        flate2::read::MultiGzDecoder::new(&*compressed).read_to_string(&mut lines).expect("text");
        write(&format!("archive-{namespace}.jsonl"), lines);
    }
    std::fs::remove_dir_all(exported).expect("removed");
}
