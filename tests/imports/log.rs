//! `windlass:workflow/log`

use serde_json::json;

use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn lines_are_kept_in_order_and_once_however_often_they_are_replayed() {
    for host in [shared().await, forgetful().await] {
        let run = host.api.start("chatty", json!(60)).await;
        host.api.end(&run).await;
        assert_eq!(host.api.logs(&run).await, ["before", "printed", "after", "complained"]);
    }
}

#[tokio::test]
async fn each_attempt_of_a_step_has_its_own_lines() {
    let api = &shared().await.api;
    let run = api.start("flaky", json!(2)).await;
    api.end(&run).await;
    let logs = api.get(&format!("/runs/{run}/logs")).await;
    let lines = logs["lines"].as_array().expect("lines").iter();
    let lines: Vec<_> =
        lines.map(|line| (line["call"].clone(), line["attempt"].clone(), line["message"].clone())).collect();
    let expected: Vec<_> = (1..=3).map(|n| (json!(0), json!(n), json!(format!("attempt {n}")))).collect();
    assert_eq!(lines, expected);
}
