//! What is taken up first.

use serde_json::{Value, json};

use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_runs_that_wait_for_a_host_what_is_more_urgent_is_taken_up_first() {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &["--active-runs", "1"]).await;
    let api = &host.api;
    api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let first = api.start("slow", json!([2_500, 60_000, 1])).await;
    eventually("the only place is taken", async || {
        (database.count("SELECT count(*) FROM owned").await == 1).then_some(())
    })
    .await;
    let mut runs = Vec::new();
    for number in 0..15 {
        let priority = 1 + number * 2 % 5;
        let run = api.start_with(json!({ "workflow": "steps", "input": 1, "priority": priority })).await;
        assert_eq!(u8::from(run.priority), priority);
        runs.push(run.run_id);
    }
    let waiting = "SELECT count(*) FROM ready";
    assert_eq!(database.count(waiting).await, 15, "the first run is over too soon for this to show anything");
    api.result(&first).await;
    for run in &runs {
        api.end(run).await;
    }
    let order = "SELECT string_agg(priority::text, '' ORDER BY closed_at) FROM runs WHERE workflow = 'steps'";
    assert_eq!(database.text(order).await.expect("runs"), "111222333444555");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_are_as_urgent_as_their_parent() {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let run = host.api.start_with(json!({ "workflow": "parent", "input": 3, "priority": 2 })).await;
    host.api.result(&run.run_id).await;
    assert_eq!(database.count("SELECT count(*) FROM runs WHERE priority = 2").await, 4);
}

#[tokio::test]
async fn a_priority_that_is_none_is_refused_and_says_what_one_is() {
    let api = &crate::harness::shared::shared().await.api;
    let body = json!({ "workflow": "steps", "input": 1, "priority": 6 }).to_string();
    let response = api.request(reqwest::Method::POST, "/runs", body).await;
    let problem: Value = response.json().await.expect("JSON");
    assert_eq!(problem["code"], "bad-request");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("from 1")), "{problem}");
}
