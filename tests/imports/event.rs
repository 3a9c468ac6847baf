//! `windlass:workflow/event`: guests that pull in other ways than the Rust SDK.

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::document;
use crate::harness::shared::shared;

#[tokio::test]
async fn a_guest_that_pulls_one_event_a_call_and_yields_gets_them_all() {
    let api = &shared().await.api;
    let run = api.start("yields", Value::Null).await;
    assert_eq!(api.result(&run).await, json!(["\"1 1\"", "\"1 1\""]));
}

#[tokio::test]
async fn a_guest_may_end_with_calls_open() {
    let api = &shared().await.api;
    let run = api.start("ends-early", Value::Null).await;
    assert_eq!(api.end(&run).await.state, RunState::Completed);
}

#[tokio::test]
async fn a_guest_that_is_resumed_and_does_not_pull_is_quarantined() {
    assert_eq!(quarantined("never-pulls").await, "not-pulled");
}

#[tokio::test]
async fn a_guest_that_yields_for_ever_is_quarantined() {
    assert_eq!(quarantined("yields-for-ever").await, "yields-too-often");
}

#[tokio::test]
async fn a_result_that_is_not_json_is_not_kept() {
    assert_eq!(quarantined("not-json").await, "invalid-result");
}

#[tokio::test]
async fn a_failure_whose_code_is_no_name_is_not_kept() {
    assert_eq!(quarantined("bad-failure").await, "invalid-name");
}

async fn quarantined(workflow: &str) -> Value {
    let api = &shared().await.api;
    let run = api.end(&api.start(workflow, Value::Null).await).await;
    assert_eq!(run.state, RunState::Quarantined, "{}", document(&run));
    document(&run)["code"].clone()
}
