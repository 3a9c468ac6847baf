//! Waiting: parked runs take nothing but a row, and wake for what they wait for.

use std::time::Duration;

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn a_run_that_waits_is_parked_and_says_what_for() {
    let shared = shared().await;
    let run = shared.api.start("first", json!(3_600_000)).await;
    let waiting = shared.api.wait_for_state(&run, RunState::Waiting).await;
    let calls: Value = serde_json::from_str(waiting.open_calls.expect("calls").as_str()).expect("JSON");
    let kinds: Vec<_> = calls.as_array().expect("calls").iter().map(|call| (&call["kind"], &call["name"])).collect();
    assert_eq!(
        kinds,
        [(&json!("signal"), &json!("text")), (&json!("signal"), &json!("number")), (&json!("sleep"), &Value::Null)]
    );
    assert!(waiting.wake_at.expect("a time") > waiting.started_at.after(Duration::from_secs(3_599)));
    let owned = format!("SELECT count(*) FROM owned WHERE run_id = '{run}'");
    assert_eq!(shared.database.count(&owned).await, 0);
    shared.api.signal(&run, "number", json!(7)).await;
    assert_eq!(shared.api.result(&run).await, "number 7");
}

#[tokio::test]
async fn a_parked_run_sleeps_no_less_than_it_asked_for() {
    let api = &shared().await.api;
    let run = api.start("nap", json!(300)).await;
    let slept_us = api.result(&run).await.as_u64().expect("a number");
    assert!((300_000..2_000_000).contains(&slept_us), "{slept_us}");
}

#[tokio::test]
async fn a_run_wakes_again_and_again() {
    let api = &shared().await.api;
    let run = api.start("naps", json!([50, 1, 60, 0, 70, 200])).await;
    assert_eq!(api.result(&run).await, 6);
    assert_eq!(api.event_names(&run).await, ["sleep"; 6]);
}

#[tokio::test]
async fn a_run_whose_guest_is_no_longer_in_memory_goes_on_from_its_history() {
    let api = &forgetful().await.api;
    let run = api.start("collect", json!(3)).await;
    for item in 0..3 {
        api.wait_for_state(&run, RunState::Waiting).await;
        api.signal(&run, "item", json!(item)).await;
    }
    assert_eq!(api.result(&run).await, json!([0, 1, 2]));
}

/// What is known of it here need not be read: it must be the same.
#[tokio::test]
async fn whoever_waits_for_an_end_hears_what_the_database_says() {
    let api = &shared().await.api;
    let runs = [
        ("steps", json!(3)),
        ("nap", json!(150)),
        ("naps", json!([60, 250, 60])),
        ("slow", json!([150, 5_000, 1])),
        ("fails", Value::Null),
        ("parent", json!(3)),
        ("flaky", json!(2)),
        ("tags", json!(3)),
        ("climbs", json!([0, 4])),
        ("one_of_each", Value::Null),
    ];
    for (workflow, input) in runs {
        let start = json!({ "workflow": workflow, "input": input, "tags": { "of": "waits" }, "priority": 2 });
        let (_, heard) = api.post_once("/runs?wait=20s", &format!("hears of {workflow}"), &start).await;
        assert_ne!(heard["state"], json!("running"), "{heard}");
        let run = heard["run_id"].as_str().expect("an id");
        assert_eq!(heard, api.get(&format!("/runs/{run}")).await, "{workflow}");
    }
}
