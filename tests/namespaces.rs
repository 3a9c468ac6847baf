//! Namespaces, their limits, and how much they keep.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::api::Problem;
use windlass_host::model::RunState;

use crate::harness::api::{Api, document};
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, windlass};
use crate::harness::shared::shared;

/// A namespace of one's own, with these limits and some guests.
async fn namespace(name: &str, limits: Value) -> Api {
    let server = shared().await.server;
    let mut api = Api::new(&server);
    api.base = format!("{server}/v1/namespaces/{name}");
    put(&api, limits).await.expect("created");
    for guest in ["probe", "rogue"] {
        api.deploy(guest_bytes(guest), "").await.expect("deployed");
    }
    api
}

async fn put(api: &Api, limits: Value) -> Result<Value, Problem> {
    let response = api.request(Method::PUT, "", json!({ "limits": limits }).to_string()).await;
    if response.status().is_success() {
        return Ok(response.json().await.expect("a namespace"));
    }
    Err(response.json().await.expect("a problem"))
}

async fn refusal(response: reqwest::Response) -> (StatusCode, String) {
    let status = response.status();
    (status, response.json::<Problem>().await.expect("a problem").code)
}

/// The code of the report of a run that is quarantined.
async fn quarantined(api: &Api, workflow: &str, input: Value) -> (String, String) {
    let run = api.end(&api.start(workflow, input).await).await;
    assert_eq!(run.state, RunState::Quarantined, "{workflow}: {}", document(&run));
    let report = document(&run);
    (report["code"].as_str().expect("a code").to_owned(), report["message"].as_str().expect("a message").to_owned())
}

#[tokio::test]
async fn a_namespace_is_created_changed_and_listed() {
    let api = namespace("changed", json!({ "memory_bytes": "32MiB", "open_calls": 100 })).await;
    let view = api.get("").await;
    assert_eq!(view["own_limits"], json!({ "memory_bytes": 32 << 20, "open_calls": 100 }));
    assert_eq!(
        (&view["limits"]["memory_bytes"], &view["limits"]["payload_bytes"]),
        (&json!(32 << 20), &json!(1 << 20))
    );
    let view = put(&api, json!({ "open_calls": null, "log_lines": 7 })).await.expect("changed");
    assert_eq!(view["own_limits"], json!({ "memory_bytes": 32 << 20, "log_lines": 7 }));
    assert_eq!(view["limits"]["open_calls"], 10_000);
    let mut server = api.clone();
    server.base = shared().await.server + "/v1/namespaces";
    let first = server.get("?limit=1").await;
    assert_eq!(first["namespaces"].as_array().expect("a page").len(), 1);
    let all = server.get(&format!("?limit=200&cursor={}", first["next"].as_str().expect("more"))).await;
    let names = all["namespaces"].as_array().expect("namespaces").iter().map(|namespace| &namespace["namespace"]);
    assert!(names.clone().is_sorted_by_key(|name| name.as_str()) && names.clone().any(|name| name == "default"));
}

#[tokio::test]
async fn a_namespace_cannot_be_given_more_than_the_operator_allows() {
    let server = shared().await.server;
    let mut api = Api::new(&server);
    api.base = format!("{server}/v1/namespaces/greedy");
    let problem = put(&api, json!({ "memory_bytes": "65MiB" })).await.expect_err("too much");
    assert_eq!((problem.status, &*problem.code), (422, "limit-too-high"));
    assert!(problem.detail.contains("67108864"), "{}", problem.detail);
    let problem = put(&api, json!({ "memory": 1 })).await.expect_err("no limit");
    assert_eq!((problem.status, &*problem.code), (422, "no-such-limit"));
    let problem = put(&api, json!({ "open_calls": "a lot" })).await.expect_err("no number");
    assert_eq!((problem.status, &*problem.code), (400, "bad-request"));
    assert_eq!(
        refusal(api.request(Method::GET, "", "").await).await,
        (StatusCode::NOT_FOUND, "no-such-namespace".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_counts_at_every_host_within_a_second() {
    let database = Database::new().await;
    let hosts = [HostProcess::serve(&database, &[]).await, HostProcess::serve(&database, &[]).await];
    let [first, second] = [&hosts[0].api, &hosts[1].api];
    first.deploy(guest_bytes("rogue"), "").await.expect("deployed");
    for api in [first, second] {
        assert_eq!(api.result(&api.start("publishes", json!(10)).await).await, Value::Null);
    }
    put(first, json!({ "published_keys": 5 })).await.expect("changed");
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for api in [first, second] {
        let (code, message) = quarantined(api, "publishes", json!(10)).await;
        assert_eq!(code, "too-many-keys");
        assert!(message.contains("more than 5 keys"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sets_the_numbers_of_a_host_in_a_file() {
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/limits.toml");
    std::fs::write(file, "memory_bytes = \"16MiB\"\npublished_keys = 128\n").expect("written");
    let host = HostProcess::serve(&Database::new().await, &["--limits", file]).await;
    let limits = host.api.get("").await["limits"].clone();
    assert_eq!((&limits["memory_bytes"], &limits["published_keys"]), (&json!(16 << 20), &json!(128)));
    assert_eq!(put(&host.api, json!({ "memory_bytes": "32MiB" })).await.expect_err("too much").code, "limit-too-high");
    put(&host.api, json!({ "published_keys": 100 }))
        .await
        .expect("more than the default, and no more than the operator allows");
    std::fs::write(file, "memory = 1\n").expect("written");
    let refused = windlass("", &["serve", "--database-url", "postgres://nowhere", "--limits", file]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("there is no limit `memory`"), "{}", refused.stderr);
}

#[tokio::test]
async fn limits_of_one_namespace_are_not_those_of_another() {
    let (small, large) = (namespace("small", json!({ "memory_bytes": "8MiB" })).await, &shared().await.api);
    let (code, message) = quarantined(&small, "grabs", Value::Null).await;
    assert_eq!(code, "memory-exceeded");
    assert!(message.contains("8388608"), "{message}");
    let (_, message) = quarantined(large, "grabs", Value::Null).await;
    assert!(message.contains("67108864"), "{message}");
}

#[tokio::test]
async fn a_history_that_is_too_long_ends_its_run_with_nothing_lost() {
    let api = namespace("short", json!({ "events": 20 })).await;
    let run = api.start("naps", json!(vec![0; 30])).await;
    let end = api.end(&run).await;
    let report = document(&end);
    assert_eq!((&report["code"], end.events), (&json!("history-too-long"), 20));
    assert!(report["message"].as_str().is_some_and(|message| message.contains("continue as new")), "{report}");
    // A run of just that length completes.
    assert_eq!(api.result(&api.start("naps", json!(vec![0; 20])).await).await, 20);
}

#[tokio::test]
async fn signals_that_nobody_asks_for_are_refused_when_there_are_too_many_or_too_large() {
    let api = namespace("patient", json!({ "inbox_letters": 5, "inbox_bytes": 1_000 })).await;
    let run = api.start("forever", Value::Null).await;
    for number in 0..5 {
        assert!(api.signal(&run, "unasked", json!(number)).await.status().is_success());
    }
    let full = (StatusCode::CONFLICT, "inbox-full".to_owned());
    assert_eq!(refusal(api.signal(&run, "unasked", json!(5)).await).await, full);
    let run = api.start("forever", Value::Null).await;
    assert!(api.signal(&run, "unasked", json!("x".repeat(900))).await.status().is_success());
    assert_eq!(refusal(api.signal(&run, "unasked", json!("x".repeat(200))).await).await, full);
    assert!(api.signal(&run, "unasked", json!("x".repeat(50))).await.status().is_success());
}

#[tokio::test]
async fn the_lines_of_all_attempts_together_are_bounded() {
    let api = namespace("quiet", json!({ "run_log_bytes": 2_000, "log_bytes": 1_500 })).await;
    let run = api.start("floods_in_steps", json!([5, 1_000])).await;
    assert_eq!(api.end(&run).await.state, RunState::Completed);
    let bytes = format!("SELECT sum(octet_length(message))::bigint FROM logs WHERE run_id = '{run}' AND level < 2");
    let bytes = shared().await.database.count(&bytes).await;
    assert!((1_500..=2_000).contains(&bytes), "{bytes}");
    let last =
        format!("SELECT count(*) FROM logs WHERE run_id = '{run}' AND message LIKE 'the log of the run is full%'");
    assert_eq!(shared().await.database.count(&last).await, 1);
}

/// What a namespace keeps is counted, refused when it is too much, and nothing that runs is lost.
#[tokio::test]
async fn a_namespace_that_is_full_takes_nothing_more_and_goes_on_when_there_is_room() {
    let api = namespace("full", json!({})).await;
    let waiting = api.start("naps", json!([3_000, 3])).await;
    eventually("what was written is counted", async || {
        (api.get("").await["stored_bytes"].as_u64().expect("a number") > 100_000).then_some(())
    })
    .await;
    put(&api, json!({ "storage_bytes": 100_000 })).await.expect("changed");
    let full = (StatusCode::INSUFFICIENT_STORAGE, "storage-full".to_owned());
    eventually("nothing more is taken", async || {
        (api.request(Method::POST, "/runs", json!({ "workflow": "forever" }).to_string()).await.status()
            == StatusCode::INSUFFICIENT_STORAGE)
            .then_some(())
    })
    .await;
    assert_eq!(refusal(api.signal(&waiting, "go", Value::Null).await).await, full);
    let upload = api.request(Method::POST, "/components?name=more", guest_bytes("hello")).await;
    assert_eq!(refusal(upload).await, full);
    // Its times come, and it waits for room instead of going on.
    let held = eventually("the run waits for room", async || {
        let run = api.run(&waiting).await;
        run.open_calls.as_ref().is_some_and(|calls| calls.as_str().contains("storage_bytes")).then_some(run)
    })
    .await;
    assert_eq!(held.state, RunState::Waiting);
    put(&api, json!({ "storage_bytes": null })).await.expect("changed");
    assert_eq!(api.result(&waiting).await, api.result(&api.start("naps", json!([1, 3])).await).await);
}

#[tokio::test]
async fn what_a_namespace_keeps_can_be_counted_anew() {
    let api = namespace("counted", json!({})).await;
    for _ in 0..10 {
        api.result(&api.start("steps", json!(20)).await).await;
    }
    let count = |view: Value| view["stored_bytes"].as_u64().expect("a number");
    let database = shared().await.database;
    eventually("all is said", async || {
        (database.count("SELECT count(*) FROM storage WHERE namespace = 'counted'").await > 0).then_some(())
    })
    .await;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let counted = count(api.get("").await);
    // A crash of a host, or a bug, has made it wrong.
    sqlx::query("UPDATE storage SET bytes = 7 WHERE namespace = 'counted'")
        .execute(&mut database.session().await)
        .await
        .expect("changed");
    let response = api.request(Method::POST, "/recount", "").await;
    let recounted = count(response.json().await.expect("a namespace"));
    let difference = recounted.abs_diff(counted);
    assert!(difference * 50 < recounted, "{counted} by the host, and {recounted} by the database");
}

#[tokio::test]
async fn the_command_line_creates_shows_sets_and_lists_namespaces() {
    let server = shared().await.server;
    let created = windlass(&server, &["namespace", "create", "by-hand", "--limit", "memory_bytes=32MiB"]).await;
    assert_eq!(created.code, Some(0), "{}", created.stderr);
    let again = windlass(&server, &["namespace", "create", "by-hand"]).await;
    assert!(again.code == Some(1) && again.stderr.contains("already"), "{}", again.stderr);
    let set = ["namespace", "set", "by-hand", "--limit", "memory_bytes=default", "--limit", "event_time_ms=2s"];
    assert_eq!(windlass(&server, &set).await.code, Some(0));
    let shown = windlass(&server, &["--json", "namespace", "show", "by-hand"]).await.stdout;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["own_limits"], json!({ "event_time_ms": 2_000 }));
    let too_high = windlass(&server, &["namespace", "set", "by-hand", "--limit", "open_calls=10_001"]).await;
    assert!(too_high.code == Some(4) && too_high.stderr.contains("limit-too-high"), "{}", too_high.stderr);
    let listed = windlass(&server, &["namespace", "list", "--limit", "200"]).await.stdout;
    assert!(listed.contains("by-hand") && listed.contains("event_time_ms=2000"), "{listed}");
}
