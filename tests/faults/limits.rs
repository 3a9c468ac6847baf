//! Each limit traps with its code, and the message says what it is.

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::document;
use crate::harness::shared::shared;

async fn report(workflow: &str, input: Value) -> (String, String) {
    let api = &shared().await.api;
    let run = api.end(&api.start(workflow, input).await).await;
    assert_eq!(run.state, RunState::Quarantined, "{workflow}: {}", document(&run));
    let report = document(&run);
    (report["code"].as_str().expect("a code").to_owned(), report["message"].as_str().expect("a message").to_owned())
}

async fn code(workflow: &str, input: Value) -> String {
    report(workflow, input).await.0
}

#[tokio::test]
async fn a_panic_is_quarantined_with_its_message() {
    let api = &shared().await.api;
    let run = api.end(&api.start("panics", Value::Null).await).await;
    let report = document(&run);
    assert_eq!(report["code"], "guest-panic");
    assert!(report["last_error"].as_str().is_some_and(|text| text.contains("on purpose")), "{report}");
}

#[tokio::test]
async fn what_was_delivered_before_a_panic_is_kept() {
    let api = &shared().await.api;
    let run = api.end(&api.start("panics_after_a_step", Value::Null).await).await;
    assert_eq!(run.state, RunState::Quarantined);
    assert_eq!(api.event_names(&run.run_id).await, ["step harmless"]);
}

#[tokio::test]
async fn computing() {
    let (code, message) = report("spins", Value::Null).await;
    assert_eq!(code, "fuel-exhausted");
    assert!(message.contains("1000000000 instructions, about, are the most (event_fuel)"), "{message}");
}

#[tokio::test]
async fn memory() {
    let (code, message) = report("grabs", Value::Null).await;
    assert_eq!(code, "memory-exceeded");
    assert!(message.contains("67108864"), "{message}");
}

/// Three times, because another machine may have a deeper stack; then a person looks.
#[tokio::test]
async fn nesting() {
    assert_eq!(code("recurses", Value::Null).await, "stack-exhausted");
}

#[tokio::test]
async fn blocking() {
    let (code, message) = report("blocks", Value::Null).await;
    assert_eq!(code, "blocked");
    assert!(message.contains("windlass::sleep"), "{message}");
}

#[tokio::test]
async fn the_outside() {
    let (code, message) = report("calls_out", Value::Null).await;
    assert_eq!(code, "not-in-this-role");
    assert!(message.contains("wasi:http") && message.contains("call it in a step"), "{message}");
    assert_eq!(report("connects", Value::Null).await.0, "not-in-this-role");
}

#[tokio::test]
async fn waiting_for_nothing() {
    assert_eq!(code("stalls", Value::Null).await, "stalled");
}

#[tokio::test]
async fn open_calls() {
    let (code, message) = report("hoards", json!(10_001)).await;
    assert_eq!(code, "too-many-calls");
    assert!(message.contains("10000"), "{message}");
}

#[tokio::test]
async fn payloads() {
    assert_eq!(code("shouts", json!(1_048_577)).await, "payload-too-large");
    assert_eq!(code("shouts", json!(3_000_000)).await, "hostcall-exceeded");
    assert_eq!(code("boasts", json!(1_048_577)).await, "invalid-result");
}

#[tokio::test]
async fn randomness() {
    assert_eq!(code("draws", json!(65_537)).await, "random-too-long");
}

#[tokio::test]
async fn published_keys() {
    assert_eq!(code("publishes", json!(65)).await, "too-many-keys");
}

#[tokio::test]
async fn tags() {
    let api = &shared().await.api;
    let code_of = async |body: Value| {
        let started = api.start_with(body).await;
        let run = api.end(&started.run_id).await;
        document(&run)["code"].as_str().map(str::to_owned)
    };
    assert_eq!(code_of(json!({ "workflow": "tags", "input": 16 })).await, None);
    assert_eq!(code("tags", json!(17)).await, "too-many-tags");
    // Those that it was started with count, and may be replaced.
    let own = json!({ "key-0": "a", "mine": "b" });
    assert_eq!(code_of(json!({ "workflow": "tags", "input": 15, "tags": own })).await, None);
    assert_eq!(
        code_of(json!({ "workflow": "tags", "input": 16, "tags": own })).await.as_deref(),
        Some("too-many-tags")
    );
    for bad in
        [json!(["a key", "x"]), json!(["", "x"]), json!(["key", ""]), json!(["key", "a,b"]), json!(["key", "a\nb"])]
    {
        assert_eq!(code("tags_badly", bad.clone()).await, "invalid-tag", "{bad}");
    }
    assert_eq!(code("tags_badly", json!(["k".repeat(65), "x"])).await, "invalid-tag");
    assert_eq!(code("tags_badly", json!(["key", "ü".repeat(129)])).await, "invalid-tag");
}

#[tokio::test]
async fn names_and_durations() {
    assert_eq!(code("names_badly", Value::Null).await, "invalid-name");
    assert_eq!(code("sleeps_for_ages", Value::Null).await, "duration-too-long");
}

#[tokio::test]
async fn leaving() {
    assert_eq!(code("exits", Value::Null).await, "guest-exit");
}

#[tokio::test]
async fn lines_are_dropped_and_the_run_goes_on() {
    let api = &shared().await.api;
    let run = api.start("floods", json!(10_500)).await;
    assert_eq!(api.end(&run).await.state, RunState::Completed);
    let rows = format!("SELECT count(*) FROM logs WHERE run_id = '{run}'");
    assert_eq!(shared().await.database.count(&rows).await, 10_001);
    let last = format!("SELECT count(*) FROM logs WHERE run_id = '{run}' AND number = 10000 AND message LIKE '%full%'");
    assert_eq!(shared().await.database.count(&last).await, 1);
}

/// A step that breaks a rule is a failed attempt; its workflow sees the code and goes on.
#[tokio::test]
async fn steps() {
    let api = &shared().await.api;
    for (rule, expected) in [
        ("timeout", "timeout"),
        ("grab", "memory-exceeded"),
        ("recurse", "stack-exhausted"),
        ("nest", "not-in-this-role"),
        ("socket", "not-in-this-role"),
        ("large", "payload-too-large"),
        ("exit", "guest-exit"),
        ("bad-code", "invalid-name"),
    ] {
        let run = api.start("step_breaks", json!(rule)).await;
        assert_eq!(api.result(&run).await, expected, "{rule}");
    }
}
