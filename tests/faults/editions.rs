//! Hosts of two releases share a database: each takes up only what it has learnt to run.

use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::host::HostProcess;
use crate::path::divergence::with;

/// What a host of the release before knows, and one of the next.
const OLD: [&str; 4] = ["--editions", "0.1.0/1", "--park-after", "10ms"];
const NEW: [&str; 4] = ["--editions", "0.1.0/1,0.1.1/1", "--park-after", "10ms"];

/// A component with this script, built for the contract that only the next release knows.
fn of_next_contract(script: &str) -> Vec<u8> {
    let (mut bytes, from, to) = (with(script), b"@0.1.0", b"@0.1.1");
    let places: Vec<_> = (0..bytes.len() - from.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty(), "it names its contract");
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    bytes
}

async fn post(api: &Api, path: &str, body: Value) -> (u16, Value) {
    let response = api.request(Method::POST, path, body.to_string()).await;
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

/// Rows in the small tables that are of another edition than their run's version; and those that a host is at that does not know them.
async fn misplaced(database: &Database) -> (i64, i64) {
    let places = ["ready", "owned", "parked", "paused"].map(|table| format!("SELECT run_id, edition FROM {table}"));
    let wrong = format!(
        "SELECT count(*) FROM ({}) p JOIN runs r USING (run_id) JOIN versions v USING (namespace, component, version)
         WHERE v.edition <> p.edition",
        places.join(" UNION ALL ")
    );
    let beyond = "SELECT count(*) FROM owned o JOIN hosts h USING (host_id) WHERE o.edition > h.edition";
    (database.count(&wrong).await, database.count(beyond).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_takes_up_only_runs_whose_contract_it_knows_and_those_that_none_knows_are_told() {
    let database = Database::new().await;
    let (old, mut new) = (HostProcess::serve(&database, &OLD).await, HostProcess::serve(&database, &NEW).await);
    old.api.deploy(with("s1;g0;s2"), "").await.expect("deployed");
    let mut known = Vec::new();
    for _ in 0..4 {
        known.push(new.api.start("script", Value::Null).await);
    }
    let refused = old.api.deploy(of_next_contract("s1;t1;g0;s2"), "").await.expect_err("not by this host");
    assert_eq!(refused.code, "unknown-contract");
    assert!(refused.detail.contains("windlass:workflow@0.1.1") && refused.detail.contains("0.1.0"), "{refused:?}");
    assert_eq!(new.api.deploy(of_next_contract("s1;t1;g0;s2"), "").await.expect("deployed").version, 2);
    // Whichever host is asked to start it, and whatever it has heard of.
    let mut next = Vec::new();
    for number in 0..8 {
        let host = if number % 2 == 0 { &old } else { &new };
        next.push(host.api.start("script", Value::Null).await);
        assert_eq!(misplaced(&database).await, (0, 0));
    }
    for run in known.iter().chain(&next) {
        new.api.wait_for_state(run, RunState::Waiting).await;
    }
    assert_eq!(misplaced(&database).await, (0, 0));
    // Without a host that knows them, they wait: woken by signals, paused and let go on, moved and not.
    new.kill();
    for run in known.iter().chain(&next[..6]) {
        assert!(old.api.signal(run, "0", json!(1)).await.status().is_success());
    }
    for verb in ["pause", "resume"] {
        assert_eq!(post(&old.api, &format!("/runs/{}/{verb}", next[6]), json!({})).await.0, 200, "{verb}");
    }
    for run in &known {
        assert_eq!(old.api.result(run).await, "done");
    }
    let (status, problem) = post(&old.api, &format!("/runs/{}/migrate", next[7]), json!({ "version": 1 })).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("later release")), "{problem}");
    eventually("those that were woken are told", async || {
        let queues = old.api.get("/queues").await;
        let beyond = queues["queues"].as_array().expect("queues").iter().find(|queue| queue["queue"] == "beyond")?;
        (beyond["depth"] == 6).then_some(())
    })
    .await;
    let (_, context) = post(&old.api, "/runs/context", json!({ "run_ids": [next[0]] })).await;
    assert_eq!(context["runs"][0]["recommended_action"], "upgrade-hosts", "{context}");
    let metrics = reqwest::get(format!("{}/metrics", old.server)).await.expect("asked").text().await.expect("text");
    assert!(metrics.contains("windlass_queue_depth{queue=\"beyond\"} 6"), "{metrics}");
    assert_eq!(misplaced(&database).await, (0, 0));
    // Another of the next release: all of them go on.
    let new = HostProcess::serve(&database, &NEW).await;
    let (status, moved) = post(&new.api, &format!("/runs/{}/migrate", next[7]), json!({ "version": 1 })).await;
    assert_eq!((status, &moved["survives"]), (200, &json!(false)), "its calls are others: {moved}");
    for run in &next[6..] {
        assert!(new.api.signal(run, "0", json!(1)).await.status().is_success());
    }
    for run in &next {
        assert_eq!(old.api.result(run).await, "done");
    }
    assert_eq!(database.count("SELECT count(*) FROM runs WHERE state <> 1").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_moved_to_another_contract_is_left_to_hosts_that_know_it_and_comes_back_with_it() {
    let database = Database::new().await;
    let (old, new) = (HostProcess::serve(&database, &OLD).await, HostProcess::serve(&database, &NEW).await);
    old.api.deploy(with("s1;g0;s2;g1"), "").await.expect("deployed");
    let mut runs = Vec::new();
    for _ in 0..6 {
        let run = new.api.start("script", Value::Null).await;
        new.api.wait_for_state(&run, RunState::Waiting).await;
        runs.push(run);
    }
    new.api.deploy(of_next_contract("s1;g0;s2;g1;s3"), "").await.expect("deployed");
    // Waiting, paused, and ready: wherever it is, it takes its edition along.
    assert_eq!(post(&old.api, &format!("/runs/{}/pause", runs[0]), json!({})).await.0, 200);
    old.api.signal(&runs[0], "0", json!(1)).await;
    eventually("it is put aside", async || (database.count("SELECT count(*) FROM paused").await == 1).then_some(()))
        .await;
    for run in &runs {
        let (status, moved) = post(&new.api, &format!("/runs/{run}/migrate"), json!({ "version": 2 })).await;
        assert_eq!((status, &moved["migrated"]), (200, &json!(true)), "{moved}");
        assert_eq!(misplaced(&database).await, (0, 0));
    }
    assert_eq!(post(&old.api, &format!("/runs/{}/resume", runs[0]), json!({})).await.0, 200);
    for (number, run) in runs.iter().enumerate() {
        let names: &[&str] = if number == 0 { &["1"] } else { &["0", "1"] };
        for name in names {
            old.api.signal(run, name, json!(1)).await;
        }
        assert_eq!(old.api.result(run).await, "done");
        assert_eq!(old.api.event_names(run).await.last().map(String::as_str), Some("step s"), "the new version's");
        assert_eq!(misplaced(&database).await, (0, 0));
    }
}
