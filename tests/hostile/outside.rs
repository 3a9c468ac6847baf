//! Guests and clients of one namespace that reach for what is another's.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::component::starts;
use super::{case, namespace};
use crate::harness::shared::shared;

/// The workflow `spy` with something to do at its start. Its input is the id of a run, in quotes.
async fn spy(name: &str, start: &'static str, input: Value) -> String {
    let shared = shared().await;
    let api = namespace(&shared.server, name, case::limits()).await;
    api.deploy(starts(start).component("spy"), "").await.expect("deployed");
    let run = api.start("spy", input).await;
    api.end(&run).await;
    let events = api.history(&run).await.events;
    events[0].failure.as_ref().map_or("nothing".to_owned(), |failure| failure.code.clone())
}

#[tokio::test]
async fn a_signal_to_a_run_of_another_namespace_finds_no_such_run() {
    let shared = shared().await;
    let victim = shared.api.start("collect", json!(1)).await;
    let sends = "(drop (call $signal_send (i32.add (local.get 2) (i32.const 1)) (i32.const 36)
        (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4))) (call $waiting)";
    assert_eq!(spy("spy-sends", sends, json!(victim)).await, "no-such-run");
    let inbox = format!("SELECT count(*) FROM inbox WHERE run_id = '{victim}'");
    assert_eq!(shared.database.count(&inbox).await, 0);
    assert!(shared.api.terminate(&victim, "over").await.closed_at.is_some());
}

#[tokio::test]
async fn a_child_of_another_namespace_s_workflow_finds_no_such_workflow() {
    let starts_hello = "(drop (call $child_start (i32.add (local.get 2) (i32.const 1)) (i32.const 5)
        (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 0))) (call $waiting)";
    assert_eq!(spy("spy-starts", starts_hello, json!("hello")).await, "unknown-workflow");
}

#[tokio::test]
async fn nothing_of_a_run_is_shown_to_or_done_by_another_namespace() {
    let shared = shared().await;
    let victim = shared.api.start("collect", json!(1)).await;
    let spy = namespace(&shared.server, "spy-asks", case::limits()).await;
    let run = format!("/runs/{victim}");
    let reads = ["", "/history", "/logs", "/state", "/follow"].map(|what| (Method::GET, format!("{run}{what}")));
    let writes = ["/signals/item", "/cancel", "/terminate", "/updates/add?wait=1s"];
    let writes = writes.map(|what| (Method::POST, format!("{run}{what}")));
    for (method, path) in reads.into_iter().chain(writes) {
        let body = if path.ends_with("terminate") { "{\"reason\":\"mine\"}" } else { "null" };
        let status = spy.request(method, &path, body).await.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    shared.api.signal(&victim, "item", json!(7)).await;
    assert_eq!(shared.api.result(&victim).await, json!([7]));
}

/// What an idempotency key stands for is the namespace's own.
#[tokio::test]
async fn a_key_of_another_namespace_is_another_run() {
    let shared = shared().await;
    let spy = namespace(&shared.server, "spy-guesses", case::limits()).await;
    spy.deploy(starts("").component("spy"), "").await.expect("deployed");
    let server = &shared.server;
    let start = async |namespace: &str, workflow: &str| {
        let request = crate::harness::api::http().post(format!("{server}/v1/namespaces/{namespace}/runs"));
        let request = request.header("Idempotency-Key", "guess").json(&json!({ "workflow": workflow, "input": [] }));
        let run: Value = request.send().await.expect("an answer").json().await.expect("a run");
        run["run_id"].as_str().expect("an id").to_owned()
    };
    assert_ne!(start("default", "naps").await, start("spy-guesses", "spy").await);
}
