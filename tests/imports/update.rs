//! Requests that a workflow answers.

use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::http;
use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn whoever_asks_gets_the_answer_and_the_same_one_again() {
    for host in [shared().await, forgetful().await] {
        let run = host.api.start("counter", json!(10)).await;
        let ask = async |number: u64, id: &str| -> Value {
            let request = http().post(format!("{}/runs/{run}/updates/add?wait=20s", host.api.base));
            let answer = request.header("Idempotency-Key", id).json(&number).send().await.expect("an answer");
            answer.json().await.expect("JSON")
        };
        assert_eq!(ask(3, "a").await["result"], 3);
        assert_eq!(ask(0, "b").await["failure"]["code"], "nothing");
        assert_eq!(ask(3, "a").await["result"], 3, "it is the same update");
        assert_eq!(ask(4, "a").await["code"], "idempotency-conflict");
        assert_eq!(ask(7, "c").await["result"], 10);
        assert_eq!(host.api.result(&run).await, 10);
        assert_eq!(ask(7, "c").await["result"], 10, "also when the run has ended");
        assert_eq!(ask(1, "d").await["code"], "run-ended");
    }
}

#[tokio::test]
async fn updates_wait_until_they_are_asked_for_and_are_answered_in_order() {
    let host = shared().await;
    let run = host.api.start("counter", json!(36)).await;
    let asked = (1..=8).map(async |number: u64| {
        let path = format!("/runs/{run}/updates/add?wait=20s");
        let answer = host.api.request(Method::POST, &path, number.to_string()).await;
        answer.json::<Value>().await.expect("JSON")["result"].as_u64().expect("a sum")
    });
    let mut sums = futures_util::future::join_all(asked).await;
    assert_eq!(host.api.result(&run).await, 36);
    sums.sort_unstable();
    sums.dedup();
    assert_eq!((sums.len(), sums.last()), (8, Some(&36)));
}

#[tokio::test]
async fn what_is_no_number_is_refused_and_does_not_disturb_the_workflow() {
    let api = &shared().await.api;
    let run = api.start("counter", json!(1)).await;
    let path = format!("/runs/{run}/updates/add?wait=20s");
    let answer: Value = api.request(Method::POST, &path, "\"many\"").await.json().await.expect("JSON");
    assert_eq!(answer["failure"]["code"], "invalid-payload");
    let answer: Value = api.request(Method::POST, &path, "1").await.json().await.expect("JSON");
    assert_eq!(answer["result"], 1);
}

#[tokio::test]
async fn an_update_that_is_not_answered_says_so_when_the_run_has_ended() {
    let api = &shared().await.api;
    let run = api.start("rude", Value::Null).await;
    let answer = api.request(Method::POST, &format!("/runs/{run}/updates/add?wait=20s"), "1").await;
    assert_eq!(answer.status(), 409);
    assert_eq!(answer.json::<Value>().await.expect("JSON")["code"], "run-ended");
    assert_eq!(api.end(&run).await.state, RunState::Completed);
}

#[tokio::test]
async fn whoever_does_not_wait_is_told_that_it_is_accepted() {
    let api = &shared().await.api;
    let run = api.start("forever", Value::Null).await;
    let answer = api.request(Method::POST, &format!("/runs/{run}/updates/add"), "1").await;
    assert_eq!(answer.status(), 202);
    api.cancel(&run).await;
}
