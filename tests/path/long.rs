//! Runs that are long, and runs that do much at once.

use serde_json::json;

use crate::harness::shared::shared;

#[tokio::test]
async fn ten_thousand_calls_may_be_open_at_once() {
    let api = &shared().await.api;
    let run = api.start("crowd", json!(4_999)).await;
    api.signal(&run, "go", json!(7)).await;
    assert_eq!(api.result(&run).await, json!(4_999 * 4_998 + 7));
}

#[tokio::test]
async fn a_long_history_is_no_end_but_the_log_has_a_warning() {
    let api = &shared().await.api;
    let run = api.start("ticks", json!(200_000)).await;
    assert_eq!(api.result(&run).await, json!(200_000));
    let logs = api.logs(&run).await;
    assert_eq!(logs, ["the history has 50000 events, and a replay takes time in proportion: continue as new"]);
}
