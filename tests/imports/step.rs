//! `windlass:workflow/step`

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::document;
use crate::harness::guests::guest_bytes;
use crate::harness::shared::{forgetful, serve, shared};
use crate::harness::shop::Shop;

#[tokio::test]
async fn steps_run_one_after_the_other_and_side_by_side() {
    for host in [shared().await, forgetful().await] {
        let run = host.api.start("steps", json!(30)).await;
        assert_eq!(host.api.result(&run).await, 870);
        let run = host.api.start("fan", json!(50)).await;
        assert_eq!(host.api.result(&run).await, 2_450);
        let events = host.api.history(&run).await.events;
        let seqs: Vec<_> = events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (0..50).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_step_that_fails_is_tried_again_and_each_failure_is_kept() {
    for host in [shared().await, forgetful().await] {
        let run = host.api.start("flaky", json!(2)).await;
        assert_eq!(host.api.result(&run).await, 3);
        let history = host.api.history(&run).await;
        assert_eq!(history.events[0].attempt, Some(3));
        let attempts: Vec<_> = history.attempts.iter().map(|attempt| attempt.attempt).collect();
        assert_eq!(attempts, [1, 2]);
        let waits: Vec<_> =
            history.attempts.iter().map(|a| a.next_at.expect("next").since(a.ended_at.expect("ended"))).collect();
        // 20 ms and 30 ms, less a fifth at most.
        assert!(waits[0] >= Duration::from_millis(16) && waits[0] <= Duration::from_millis(20), "{waits:?}");
        assert!(waits[1] >= Duration::from_millis(24) && waits[1] <= Duration::from_millis(30), "{waits:?}");
    }
}

#[tokio::test]
async fn when_no_more_attempts_may_be_made_the_last_failure_is_the_step_s() {
    let api = &shared().await.api;
    let run = api.end(&api.start("flaky", json!(9)).await).await;
    assert_eq!((run.state, document(&run)["message"].clone()), (RunState::Failed, json!("attempt 4")));
    assert_eq!(api.history(&run.run_id).await.attempts.len(), 4);
}

#[tokio::test]
async fn a_failure_that_is_not_retryable_ends_the_step_at_once() {
    let api = &shared().await.api;
    let run = api.start("hopeless", Value::Null).await;
    assert_eq!(api.result(&run).await, "no-hope false");
    assert_eq!(api.history(&run).await.attempts.len(), 1);
}

#[tokio::test]
async fn an_attempt_that_takes_too_long_is_stopped_and_tried_again() {
    let api = &shared().await.api;
    let begun = Instant::now();
    let run = api.end(&api.start("slow", json!([60_000, 100, 2])).await).await;
    assert_eq!(document(&run)["code"], "timeout");
    assert!(begun.elapsed() < Duration::from_secs(10));
    let codes: Vec<_> =
        api.history(&run.run_id).await.attempts.into_iter().map(|a| a.failure.expect("failed").code).collect();
    assert_eq!(codes, ["timeout", "timeout"]);
}

#[tokio::test]
async fn a_step_that_crashes_is_a_failed_attempt_with_the_message_of_the_panic() {
    let api = &shared().await.api;
    let run = api.start("crashing_step", Value::Null).await;
    let failure = api.result(&run).await;
    let failure = failure.as_str().expect("text");
    assert!(failure.starts_with("step-trap: ") && failure.contains("a step may panic"), "{failure}");
}

#[tokio::test]
async fn an_attempt_that_runs_for_long_is_visible() {
    let host = shared().await;
    let run = host.api.start("slow", json!([6_500, 60_000, 1])).await;
    let attempt =
        crate::harness::eventually("a row", async || host.api.history(&run).await.attempts.into_iter().next()).await;
    assert_eq!((attempt.attempt, attempt.ended_at), (1, None));
    assert_eq!(host.api.result(&run).await, 6_500);
}

#[tokio::test]
async fn every_call_has_a_key_of_its_own() {
    let api = &shared().await.api;
    let run = api.start("keys", Value::Null).await;
    let expected = json!([format!("default/{run}/0 1 10"), format!("default/{run}/1 1 10")]);
    assert_eq!(api.result(&run).await, expected);
}

#[tokio::test]
async fn a_step_reaches_the_hosts_that_it_asks_for_and_that_are_granted_and_no_others() {
    let host = shared().await;
    let shop = Shop::open(0).await;
    let code = async |url: String| host.api.result(&host.api.start("elsewhere", json!(url)).await).await;
    // Granted and asked for, but there is no such page: an answer, which `fetch` does not call a failure.
    let run = host.api.end(&host.api.start("elsewhere", json!(format!("http://{}/", shop.address))).await).await;
    assert_eq!(run.state, RunState::Quarantined, "the guest expects a failure and gets a response");
    assert_eq!(code("http://localhost:1/".into()).await, "http-denied");
    assert_eq!(code("http://example.com/".into()).await, "http-denied");
    // Asked for, not granted.
    assert_eq!(code("http://granted.invalid/".into()).await, "http-denied");
    // Both, and nobody is there.
    assert_eq!(code("http://127.0.0.1:1/".into()).await, "http-error");
}

#[tokio::test]
async fn nothing_is_granted_unless_the_operator_says_so() {
    let database = crate::harness::database::Database::new().await;
    let server = serve(&database, windlass_host::worker::HostConfig::default()).await;
    let api = crate::harness::api::Api::new(&server);
    api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let run = api.start("elsewhere", json!("http://127.0.0.1:1/")).await;
    assert_eq!(api.result(&run).await, "http-denied");
    // From now on it is.
    api.deploy(guest_bytes("probe"), "127.0.0.1:1").await.expect("deployed");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let run = api.start("elsewhere", json!("http://127.0.0.1:1/")).await;
    assert_eq!(api.result(&run).await, "http-error");
}

#[tokio::test]
async fn strict_runs_do_the_same() {
    let shop = Shop::open(0).await;
    for host in [shared().await, forgetful().await] {
        let purchase = json!({ "id": "s", "shop": shop.url(), "posts": 3, "pause_ms": 5 });
        for (workflow, input, result) in [
            ("steps", json!(10), json!(90)),
            ("fan", json!(20), json!(380)),
            ("flaky", json!(2), json!(3)),
            ("outrun", Value::Null, json!("the timer")),
            ("yields", Value::Null, json!(["\"1 1\"", "\"1 1\""])),
            ("buy", purchase, json!(["pay-s", "pay-s", "pay-s"])),
        ] {
            let body = json!({ "workflow": workflow, "input": input, "durability": "strict" });
            let run = host.api.start_with(body).await.run_id;
            assert_eq!(host.api.result(&run).await, result, "{workflow}");
        }
    }
    assert!(shop.ledger().values().all(|entry| entry.requests == 1));
}

#[tokio::test]
async fn a_call_that_takes_too_long_in_all_fails_with_the_last_failure_as_its_cause() {
    let api = &shared().await.api;
    let run = api.start("out_of_time", json!(150)).await;
    assert_eq!(api.result(&run).await, json!(["total-timeout", "no"]));
    let run = api.start("stopped_in_the_middle", json!(100)).await;
    assert_eq!(api.result(&run).await, "total-timeout");
}
