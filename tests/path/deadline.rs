//! Runs whose time is over.

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::document;
use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn a_run_that_is_late_is_asked_to_stop_and_cleans_up() {
    for host in [shared().await, forgetful().await] {
        let body = json!({ "workflow": "cleans_up", "timeout": "400ms" });
        let run = host.api.start_with(body).await;
        assert!(run.deadline_at.is_some());
        let ended = host.api.end(&run.run_id).await;
        assert_eq!((ended.state, document(&ended)["code"].clone()), (RunState::Failed, json!("deadline-exceeded")));
        let history = host.api.history(&run.run_id).await;
        assert_eq!((&*history.events[0].kind, &*history.events[0].name), ("cancel-requested", "deadline"));
        assert_eq!(host.api.get(&format!("/runs/{}/state", run.run_id)).await["values"]["cleaned"]["value"], 42);
        let late = ended.closed_at.expect("closed").since(run.deadline_at.expect("a deadline"));
        assert!(late.as_millis() < 2_000, "{late:?}");
    }
}

#[tokio::test]
async fn a_run_that_is_asked_to_stop_cleans_up_and_is_cancelled() {
    let api = &shared().await.api;
    let run = api.start("cleans_up", Value::Null).await;
    api.wait_for_state(&run, RunState::Waiting).await;
    api.cancel(&run).await;
    let ended = api.end(&run).await;
    assert_eq!((ended.state, document(&ended)["code"].clone()), (RunState::Cancelled, json!("cancelled")));
    assert_eq!(api.get(&format!("/runs/{run}/state")).await["values"]["cleaned"]["value"], 42);
}

#[tokio::test]
async fn a_run_that_ends_in_time_hears_nothing_of_its_deadline() {
    let api = &shared().await.api;
    let run = api.start_with(json!({ "workflow": "naps", "input": [10, 10], "timeout": "1h" })).await;
    assert_eq!(api.result(&run.run_id).await, 2);
}

/// It is told once, however often it begins again.
#[tokio::test]
async fn a_run_that_continues_as_new_after_its_deadline_is_not_told_again() {
    let api = &shared().await.api;
    let run = api.start_with(json!({ "workflow": "goes_on", "input": 3, "timeout": "100ms" })).await;
    let ended = api.end(&run.run_id).await;
    assert_eq!((ended.state, document(&ended), ended.generation), (RunState::Completed, json!("told once"), 3));
    let names = api.event_names(&run.run_id).await;
    assert_eq!(names.iter().filter(|name| *name == "cancel-requested deadline").count(), 1, "{names:?}");
}

#[tokio::test]
async fn a_timeout_that_is_none_is_refused() {
    let api = &shared().await.api;
    for timeout in ["\"soon\"", "\"1000years\"", "7"] {
        let body = format!("{{\"workflow\":\"hello\",\"timeout\":{timeout}}}");
        assert_eq!(api.request(reqwest::Method::POST, "/runs", body).await.status(), 400, "{timeout}");
    }
}
