//! Starting runs, and what they come to.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::{document, http};
use crate::harness::shared::shared;

#[tokio::test]
async fn a_run_gives_back_what_its_workflow_returns() {
    let api = &shared().await.api;
    let run = api.start("hello", json!("Ada")).await;
    assert_eq!(api.result(&run).await, "Hello, Ada!");
}

#[tokio::test]
async fn a_run_that_fails_says_why() {
    let api = &shared().await.api;
    let run = api.end(&api.start("fails", Value::Null).await).await;
    assert_eq!(run.state, RunState::Failed);
    let expected = json!({ "code": "not-today", "message": "it would not", "details": ["detail"], "retryable": true });
    assert_eq!(document(&run), expected);
}

#[tokio::test]
async fn an_input_of_another_shape_fails_the_run() {
    let api = &shared().await.api;
    let run = api.end(&api.start("hello", json!({ "not": "a string" })).await).await;
    assert_eq!((run.state, document(&run)["code"].clone()), (RunState::Failed, json!("invalid-payload")));
}

#[tokio::test]
async fn the_same_key_and_input_is_the_same_run_and_another_input_is_a_conflict() {
    let api = &shared().await.api;
    let start = async |name: &str| {
        let request = http().post(format!("{}/runs?wait=10s", api.base));
        let request = request.header("Idempotency-Key", "start-1").json(&json!({ "workflow": "hello", "input": name }));
        let response = request.send().await.expect("an answer");
        (response.status(), response.json::<Value>().await.expect("JSON"))
    };
    let (first_status, first) = start("Ada").await;
    let (second_status, second) = start("Ada").await;
    let (third_status, third) = start("Grace").await;
    assert_eq!(
        (first_status, second_status, third_status),
        (StatusCode::CREATED, StatusCode::OK, StatusCode::CONFLICT)
    );
    assert_eq!(first["run_id"], second["run_id"]);
    assert_eq!((&second["result"], &third["code"]), (&json!("Hello, Ada!"), &json!("idempotency-conflict")));
}

#[tokio::test]
async fn many_starts_at_once_under_one_key_are_one_run() {
    let shared = shared().await;
    let start = |_| {
        let request = http().post(format!("{}/runs", shared.api.base));
        let request =
            request.header("Idempotency-Key", "start-2").json(&json!({ "workflow": "hello", "input": "Ada" }));
        async move { request.send().await.expect("an answer").json::<Value>().await.expect("JSON")["run_id"].clone() }
    };
    let ids = futures_util::future::join_all((0..20).map(start)).await;
    assert!(ids.iter().all(|id| id.is_string() && *id == ids[0]), "{ids:?}");
    assert_eq!(shared.database.count("SELECT count(*) FROM runs WHERE idempotency_key = 'start-2'").await, 1);
}

#[tokio::test]
async fn what_is_asked_for_and_is_not_there_has_a_code() {
    let api = &shared().await.api;
    let code = async |method: Method, path: &str, body: Value| {
        let response = api.request(method, path, body.to_string()).await;
        let status = response.status().as_u16();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Value = response.json().await.expect("a problem");
        format!("{status} {}", problem["code"].as_str().expect("a code"))
    };
    let nobody = "/runs/00000000-0000-0000-0000-000000000000";
    assert_eq!(code(Method::POST, "/runs", json!({ "workflow": "nope" })).await, "404 no-such-workflow");
    assert_eq!(code(Method::POST, "/runs", json!({ "workflow": "no such" })).await, "400 bad-request");
    assert_eq!(code(Method::POST, "/runs", json!({ "workflow": "hello", "inptu": 1 })).await, "400 bad-request");
    assert_eq!(code(Method::GET, nobody, Value::Null).await, "404 no-such-run");
    assert_eq!(code(Method::GET, "/runs/nonsense", Value::Null).await, "400 bad-request");
    assert_eq!(code(Method::GET, &format!("{nobody}/history"), Value::Null).await, "404 no-such-run");
    assert_eq!(code(Method::POST, &format!("{nobody}/signals/x"), Value::Null).await, "404 no-such-run");
    assert_eq!(code(Method::POST, &format!("{nobody}/cancel"), Value::Null).await, "404 no-such-run");
    assert_eq!(code(Method::GET, "/runs?cursor=x", Value::Null).await, "400 bad-request");
    assert_eq!(code(Method::GET, "/nothing", Value::Null).await, "404 not-found");
    assert_eq!(code(Method::DELETE, "/runs", Value::Null).await, "405 method-not-allowed");
}

#[tokio::test]
async fn runs_are_listed_newest_first_page_by_page() {
    let api = &shared().await.api;
    let mut started = Vec::new();
    for _ in 0..5 {
        started.push(api.start("showing", Value::Null).await);
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("/runs?workflow=showing&limit=2{cursor}")).await;
        let runs = page["runs"].as_array().expect("runs").clone();
        listed.extend(runs.iter().map(|run| run["run_id"].as_str().expect("an id").to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    started.reverse();
    listed.retain(|run| started.contains(run));
    assert_eq!(listed, started);
}

#[tokio::test]
async fn a_start_with_a_signal_starts_once_and_sends_every_signal_once() {
    for host in [shared().await, crate::harness::shared::forgetful().await] {
        let send = async |number: u64| {
            let signal = json!({ "name": "item", "payload": number, "id": format!("n{number}") });
            let body = json!({ "workflow": "collect", "input": 5, "signal": signal });
            let request = http().post(format!("{}/runs", host.api.base)).header("Idempotency-Key", "the collector");
            let answer = request.json(&body).send().await.expect("an answer");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.json::<Value>().await.expect("a run")["run_id"].as_str().expect("an id").to_owned()
        };
        // All at once, and each twice.
        let sent = futures_util::future::join_all((0..10).map(|number| send(number % 5))).await;
        assert!(sent.iter().all(|run| *run == sent[0]), "{sent:?}");
        let mut items = host.api.result(&sent[0]).await.as_array().expect("numbers").clone();
        items.sort_by_key(Value::as_u64);
        assert_eq!(Value::Array(items), json!([0, 1, 2, 3, 4]));
        // Who it was for has ended, and a new signal has nobody to go to; one that was accepted was.
        let body = json!({ "workflow": "collect", "input": 5, "signal": { "name": "item", "id": "late" } });
        let request = http().post(format!("{}/runs", host.api.base)).header("Idempotency-Key", "the collector");
        assert_eq!(request.json(&body).send().await.expect("an answer").status(), 409);
        send(3).await;
    }
}
