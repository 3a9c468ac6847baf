//! `windlass:workflow/signal`

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::http;
use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn signals_are_kept_until_they_are_asked_for_and_delivered_in_order() {
    for host in [shared().await, forgetful().await] {
        let run = host.api.start("showing", Value::Null).await;
        // The workflow asks for the second when it has the first; both are there before it asks at all.
        for _ in 0..2 {
            assert!(host.api.signal(&run, "next", Value::Null).await.status().is_success());
        }
        assert_eq!(host.api.end(&run).await.state, RunState::Completed);
        assert_eq!(host.api.event_names(&run).await, ["signal next"; 2]);
        assert_eq!(host.database.count(&format!("SELECT count(*) FROM inbox WHERE run_id = '{run}'")).await, 0);
    }
}

#[tokio::test]
async fn a_signal_of_another_name_does_not_wake_and_is_not_lost() {
    let host = shared().await;
    let run = host.api.start("collect", json!(1)).await;
    host.api.wait_for_state(&run, RunState::Waiting).await;
    host.api.signal(&run, "other", json!(1)).await;
    assert_eq!(host.api.run(&run).await.state, RunState::Waiting);
    assert_eq!(host.database.count(&format!("SELECT count(*) FROM inbox WHERE run_id = '{run}'")).await, 1);
    host.api.signal(&run, "item", json!(5)).await;
    assert_eq!(host.api.result(&run).await, json!([5]));
}

#[tokio::test]
async fn the_same_signal_id_is_delivered_once() {
    let host = shared().await;
    let run = host.api.start("collect", json!(2)).await;
    let send = async |id: &str, item: u64| {
        let request = http().post(format!("{}/runs/{run}/signals/item", host.api.base));
        let answer = request.header("Idempotency-Key", id).json(&item).send().await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")["is_new"].clone()
    };
    let same = futures_util::future::join_all((0..10).map(|_| send("a", 1))).await;
    assert_eq!(same.iter().filter(|is_new| **is_new == true).count(), 1, "{same:?}");
    host.api.wait_for_events(&run, 1).await;
    // Also after it was delivered.
    assert_eq!(send("a", 1).await, false);
    assert_eq!(send("b", 2).await, true);
    assert_eq!(host.api.result(&run).await, json!([1, 2]));
    // And after the run has ended: the sender may not have heard that it was accepted.
    assert_eq!(send("a", 1).await, false);
}

#[tokio::test]
async fn a_signal_with_a_timeout_gives_up_in_time() {
    let api = &shared().await.api;
    let run = api.start("first", json!(100)).await;
    assert_eq!(api.result(&run).await, "nothing");
    let run = api.start("first", json!(60_000)).await;
    api.signal(&run, "text", json!("hello")).await;
    assert_eq!(api.result(&run).await, "hello");
}

#[tokio::test]
async fn a_signal_to_a_run_that_has_ended_is_refused() {
    let api = &shared().await.api;
    let run = api.start("hello", json!("x")).await;
    api.end(&run).await;
    let response = api.signal(&run, "item", json!(1)).await;
    assert_eq!(response.status(), 409);
}

#[tokio::test]
async fn a_payload_that_is_not_json_or_too_large_or_too_deep_is_refused() {
    let api = &shared().await.api;
    let input = |input: String| format!("{{\"workflow\":\"hello\",\"input\":{input}}}");
    for (body, status) in
        [(input(format!("\"{}\"", "x".repeat(1 << 20))), 413), (input("[".repeat(129) + &"]".repeat(129)), 400)]
    {
        assert_eq!(api.request(reqwest::Method::POST, "/runs", body).await.status(), status);
    }
    let run = api.start("collect", json!(1)).await;
    let response = api.request(reqwest::Method::POST, &format!("/runs/{run}/signals/item"), "{oops").await;
    assert_eq!(response.status(), 400);
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    let response = api.request(reqwest::Method::POST, &format!("/runs/{run}/signals/item"), large).await;
    assert_eq!(response.status(), 413);
}

/// Senders that meet the run in every state: running, parking, parked, waking.
#[tokio::test]
async fn signals_sent_at_any_moment_are_delivered_once_and_in_order() {
    for host in [shared().await, forgetful().await] {
        const COUNT: u64 = 150;
        let run = host.api.start("collect", json!(COUNT)).await;
        for item in 0..COUNT {
            assert!(host.api.signal(&run, "item", json!(item)).await.status().is_success());
            // Sometimes at once, sometimes when it has just parked, sometimes long after.
            tokio::time::sleep(std::time::Duration::from_micros([0, 300, 3_000, 33_000][item as usize % 4])).await;
        }
        assert_eq!(host.api.result(&run).await, json!((0..COUNT).collect::<Vec<_>>()));
    }
}

#[tokio::test]
async fn a_run_sends_signals_to_another_and_hears_what_came_of_it() {
    let api = &shared().await.api;
    let collect = api.start("collect", json!(2)).await;
    for number in 1..=2 {
        let run = api.start("tell", json!([collect, number])).await;
        assert_eq!(api.result(&run).await, "sent");
    }
    assert_eq!(api.result(&collect).await, json!([1, 2]));
    let run = api.start("tell", json!([collect, 3])).await;
    assert_eq!(api.result(&run).await, "run-ended");
    let run = api.start("tell", json!(["01a1fd79-4996-73cf-9a58-5c763cc70966", 3])).await;
    assert_eq!(api.result(&run).await, "no-such-run");
}
