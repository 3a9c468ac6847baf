//! Asking runs to stop.

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::document;
use crate::harness::shared::shared;

#[tokio::test]
async fn a_run_that_waits_is_told_and_stops() {
    let api = &shared().await.api;
    let run = api.start("forever", Value::Null).await;
    api.wait_for_state(&run, RunState::Waiting).await;
    let accepted: Value = api.cancel(&run).await.json().await.expect("JSON");
    assert_eq!(accepted["is_new"], true);
    let ended = api.end(&run).await;
    assert_eq!((ended.state, document(&ended)["code"].clone()), (RunState::Cancelled, json!("cancelled")));
    assert_eq!(api.event_names(&run).await, ["cancel-requested requested"]);
    assert!(ended.cancel_requested_at.is_some());
}

#[tokio::test]
async fn a_run_that_has_ended_cannot_be_asked() {
    let api = &shared().await.api;
    let run = api.start("hello", json!("x")).await;
    api.end(&run).await;
    let response = api.cancel(&run).await;
    assert_eq!(response.status(), 409);
    let problem: Value = response.json().await.expect("a problem");
    assert_eq!(
        (&problem["code"], &problem["detail"]),
        (&json!("run-ended"), &json!("the run has ended: it is completed"))
    );
}

#[tokio::test]
async fn a_guest_that_does_not_stop_is_told_once_and_goes_on() {
    let api = &shared().await.api;
    let run = api.start("ignores-cancel", Value::Null).await;
    assert!(api.cancel(&run).await.status().is_success());
    // It may have ended before the second time.
    api.cancel(&run).await;
    let ended = api.end(&run).await;
    assert_eq!(ended.state, RunState::Completed, "{:?}", document(&ended));
    let names = api.event_names(&run).await;
    assert_eq!(names.iter().filter(|name| *name == "cancel-requested requested").count(), 1, "{names:?}");
}

#[tokio::test]
async fn a_step_that_runs_is_stopped_with_its_run() {
    let shared = shared().await;
    let run = shared.api.start("slow", json!([60_000, 120_000, 1])).await;
    shared.api.wait_for_state(&run, RunState::Running).await;
    shared.api.cancel(&run).await;
    let begun = std::time::Instant::now();
    assert_eq!(shared.api.end(&run).await.state, RunState::Cancelled);
    assert!(begun.elapsed().as_secs() < 10);
}
