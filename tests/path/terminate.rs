//! Ending runs from outside.

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::document;
use crate::harness::shared::shared;

#[tokio::test]
async fn a_run_that_waits_or_runs_or_is_quarantined_is_ended_at_once() {
    let host = shared().await;
    let cases = [
        ("forever", Value::Null, RunState::Waiting),
        ("slow", json!([60_000, 120_000, 1]), RunState::Running),
        ("stalls", Value::Null, RunState::Quarantined),
    ];
    for (workflow, input, state) in cases {
        let run = host.api.start(workflow, input).await;
        host.api.wait_for_state(&run, state).await;
        let begun = std::time::Instant::now();
        let ended = host.api.terminate(&run, "enough").await;
        assert_eq!(ended.state, RunState::Failed, "{workflow}");
        assert_eq!(document(&ended), json!({ "code": "terminated", "message": "enough", "retryable": false }));
        assert!(begun.elapsed().as_secs() < 2, "{workflow}");
        let rows = format!(
            "SELECT (SELECT count(*) FROM ready WHERE run_id = '{run}') + (SELECT count(*) FROM owned WHERE run_id = '{run}')
             + (SELECT count(*) FROM parked WHERE run_id = '{run}')"
        );
        assert_eq!(host.database.count(&rows).await, 0);
        // And it stays so.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(document(&host.api.run(&run).await)["code"], "terminated");
    }
}

#[tokio::test]
async fn a_run_that_has_ended_cannot_be_ended_again() {
    let api = &shared().await.api;
    let run = api.start("hello", json!("x")).await;
    api.end(&run).await;
    let path = format!("/runs/{run}/terminate");
    let response = api.request(reqwest::Method::POST, &path, "{}").await;
    assert_eq!(response.status(), 409);
}
