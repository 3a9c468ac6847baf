//! A host goes ahead with a run that it accepts, and the database has the last word.

use serde_json::{Value, json};

use crate::harness::api::http;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::shared::shared;

/// Start a run under a key and wait for its end: the status, and the answer.
async fn start(base: &str, key: &str, workflow: &str, input: &Value) -> (u16, Value) {
    let request = http().post(format!("{base}/runs?wait=20s")).header("Idempotency-Key", key);
    let response = request.json(&json!({ "workflow": workflow, "input": input })).send().await.expect("an answer");
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_run_that_never_waits_is_written_once_with_all_its_events() {
    let shared = shared().await;
    let run = shared.api.request(reqwest::Method::POST, "/runs?wait=20s", r#"{"workflow":"steps","input":5}"#).await;
    let run: Value = run.json().await.expect("a run");
    assert_eq!((&run["state"], &run["events"]), (&json!("completed"), &json!(5)));
    // One transaction wrote the run and its events, and nothing has touched the run since.
    let run_id = run["run_id"].as_str().expect("an id");
    let written = format!(
        "SELECT count(*) FROM runs r JOIN events e USING (shard, run_id)
         WHERE r.run_id = '{run_id}' AND r.xmin = e.xmin AND r.xmax = '0'"
    );
    assert_eq!(shared.database.count(&written).await, 5);
    let again = shared.api.run(run_id).await;
    assert_eq!(serde_json::to_value(again).expect("JSON"), run, "what is answered is what is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_does_not_know_of_a_new_version_starts_it_all_the_same() {
    let database = Database::new().await;
    let hosts = [HostProcess::serve(&database, &[]).await, HostProcess::serve(&database, &[]).await];
    hosts[0].api.deploy(guest_bytes("hello"), "").await.expect("deployed");
    let (_, first) = start(&hosts[0].api.base, "a", "hello", &json!("Ada")).await;
    // The same program, and another component all the same: a custom section at its end.
    let newer = [guest_bytes("hello"), vec![0, 3, 1, b'v', b'2']].concat();
    hosts[1].api.deploy(newer, "").await.expect("deployed");
    let (status, second) = start(&hosts[0].api.base, "b", "hello", &json!("Ada")).await;
    assert_eq!((status, &second["result"]), (201, &json!("Hello, Ada!")));
    assert_eq!((&first["version"], &second["version"]), (&json!(1), &json!(2)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_at_two_hosts_at_once_is_one_run() {
    let database = Database::new().await;
    let hosts = [HostProcess::serve(&database, &[]).await, HostProcess::serve(&database, &[]).await];
    hosts[0].api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let starts = (0..60).map(|number| {
        let base = hosts[number % 2].api.base.clone();
        // Each key three times at each host.
        tokio::spawn(async move { start(&base, &format!("k{}", number / 6), "steps", &json!(3)).await })
    });
    let mut new = 0;
    for answer in starts.collect::<Vec<_>>() {
        let (status, run) = answer.await.expect("no panic");
        assert!(run["state"] == "completed" && [200, 201].contains(&status), "{status}: {run}");
        new += i32::from(status == 201);
    }
    assert_eq!(new, 10, "each key was new once");
    assert_eq!(database.count("SELECT count(*) FROM runs").await, 10);
    assert_eq!(database.count("SELECT count(*) FROM events").await, 30);
    assert_eq!(database.count("SELECT count(*) FROM owned").await, 0);
}

#[tokio::test]
async fn a_workflow_that_computes_for_long_begins_anew_where_it_is_in_nobodys_way() {
    let api = &shared().await.api;
    let run = api.start("grinds", json!(20_000_000)).await;
    let quick = api.start("hello", json!("Ada")).await;
    assert_eq!(api.result(&quick).await, "Hello, Ada!");
    assert_eq!(api.result(&run).await, json!(2));
    let run = api.run(&run).await;
    assert_eq!(run.events, 2, "each step is there once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_computes_for_long_before_it_writes_anything_is_there_all_the_same() {
    let database = Database::new().await;
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.toml", database.schema));
    std::fs::write(&file, "event_fuel = 1_000_000_000_000\nevent_time_ms = 600_000\n").expect("written");
    let host = HostProcess::serve(&database, &["--limits", file.to_str().expect("a path")]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let base = host.api.base.clone();
    // The host knows from now on that it takes long, and begins it where it is in nobody's way.
    start(&base, "first", "ponders", &json!(50_000_000)).await;
    let run = tokio::spawn(async move { start(&base, "second", "ponders", &json!(1_500_000_000)).await });
    eventually("it is there", async || {
        (database.count("SELECT count(*) FROM runs WHERE state = 0").await == 1).then_some(())
    })
    .await;
    assert!(!run.is_finished(), "it is still at it");
    let (status, run) = run.await.expect("no panic");
    assert_eq!((status, &run["result"]), (201, &json!(0)), "{run}");
    std::fs::remove_file(file).expect("removed");
}
