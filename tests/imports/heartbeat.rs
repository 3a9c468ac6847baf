//! Signs of life of a step.

use serde_json::json;

use crate::harness::shared::shared;

#[tokio::test]
async fn an_attempt_goes_on_from_what_the_last_one_reported() {
    let api = &shared().await.api;
    let run = api.start("counts", json!(10)).await;
    assert_eq!(api.result(&run).await, json!([6, 10]));
    let attempts = api.history(&run).await.attempts;
    assert_eq!(attempts.len(), 1);
    assert_eq!(attempts[0].heartbeat.as_ref().expect("a report").as_str(), "5");
}
