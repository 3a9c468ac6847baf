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

#[tokio::test]
async fn lines_are_followed_as_they_come_and_chosen_by_level() {
    let api = &shared().await.api;
    // A line, a wait of a second, and more lines.
    let run = api.start("chatty", json!(1_000)).await;
    let page = async |after: i64, more: &str| api.get(&format!("/runs/{run}/logs?after={after}{more}")).await;
    let first = page(0, "&wait=20s").await;
    assert_eq!(first["lines"][0]["message"], "before");
    assert_eq!(first["is_over"], false);
    let mut next = first["next"].as_i64().expect("a number");
    let mut messages = Vec::new();
    loop {
        let page = page(next, "&wait=20s").await;
        next = page["next"].as_i64().expect("a number");
        let lines = page["lines"].as_array().expect("lines").iter();
        messages.extend(lines.map(|line| line["message"].as_str().expect("a text").to_owned()));
        if page["is_over"] == true {
            break;
        }
    }
    assert_eq!(messages[messages.len() - 2..], ["after", "complained"]);
    let warnings = page(0, "&level=warn").await;
    assert_eq!(warnings["lines"].as_array().expect("lines").len(), 2, "{warnings}");
}
