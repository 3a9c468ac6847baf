//! More than a host takes on at once, or in one piece.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::api::ApiLimits;

use super::{Raw, get};
use crate::harness::api::http;
use crate::harness::eventually;
use crate::harness::shared::shared;

#[tokio::test]
async fn connections_above_the_most_are_closed_and_idle_ones_make_room_for_the_next() {
    let limits = ApiLimits { connections: 2, ..ApiLimits::default() };
    let address = shared().await.entrance(limits, None).await;
    let mut idle = [Raw::connect(address).await, Raw::connect(address).await];
    for connection in &mut idle {
        connection.say(&get("/healthz")).await;
        assert!(connection.hear_head().await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(Raw::connect(address).await.hear().await, "", "there is no room");
    eventually("there is room", async || {
        let answer = http().get(format!("http://{address}/healthz")).send().await;
        answer.is_ok_and(|answer| answer.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_above_the_most_are_refused_and_those_that_wait_take_no_room_from_the_others() {
    let host = shared().await;
    let limits = ApiLimits { requests: 1, waiting: 1, ..ApiLimits::default() };
    let address = host.entrance(limits, None).await;
    let base = format!("http://{address}/v1/namespaces/default");
    let ask = async |path: &str| http().get(format!("{base}{path}")).send().await.expect("an answer");

    let run = host.api.start("nap", json!(600_000)).await;
    let mut following = Raw::connect(address).await;
    following.say(&get(&format!("/v1/namespaces/default/runs/{run}/follow"))).await;
    assert!(following.hear_head().await.starts_with("HTTP/1.1 200"));
    let refused = ask(&format!("/runs/{run}?wait=20s")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["code"], "overloaded");
    assert_eq!(ask(&format!("/runs/{run}")).await.status(), StatusCode::OK, "what does not wait has room");

    // The place of a request that was answered is free a moment after the answer.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    // A request whose body has not come yet is in work.
    let mut posting = Raw::connect(address).await;
    let head = "POST /v1/namespaces/default/runs HTTP/1.1\r\nhost: localhost\r\n\
                content-type: application/json\r\ncontent-length: 22\r\n\r\n";
    posting.say(head).await;
    eventually("it is in work", async || {
        (ask("/runs").await.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let health = http().get(format!("http://{address}/healthz")).send().await.expect("an answer");
    assert_eq!(health.status(), StatusCode::OK, "however much there is to do");
    posting.say("{\"workflow\": \"nobody\"}").await;
    assert!(posting.hear_head().await.starts_with("HTTP/1.1 404"));
    assert_eq!(ask("/runs").await.status(), StatusCode::OK);
    drop(following);
    eventually("the one that followed has gone", async || {
        (ask(&format!("/runs/{run}?wait=1ms")).await.status() == StatusCode::OK).then_some(())
    })
    .await;
    host.api.request(Method::POST, &format!("/runs/{run}/terminate"), "{}").await;
}

#[tokio::test]
async fn heads_and_bodies_are_bounded_in_bytes_and_in_depth() {
    let address = shared().await.entrance(ApiLimits::default(), None).await;
    let mut long = Raw::connect(address).await;
    long.say(&format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(33 << 10))).await;
    assert!(long.hear().await.starts_with("HTTP/1.1 431"));
    let mut many = Raw::connect(address).await;
    let headers: String = (0..100).map(|number| format!("x{number}: x\r\n")).collect();
    many.say(&format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).await;
    assert!(many.hear().await.starts_with("HTTP/1.1 431"));
    let begun = std::time::Instant::now();
    let mut endless = Raw::connect(address).await;
    endless.say(&format!("GET /healthz HTTP/1.1\r\nx: {}", "x".repeat(200 << 10))).await;
    endless.hear().await;
    assert!(begun.elapsed() < ApiLimits::default().head_timeout / 2, "not because it was slow");

    let start = async |input: String| {
        let body = format!("{{\"workflow\": \"hello\", \"input\": {input}}}");
        let request = http().post(format!("http://{address}/v1/namespaces/default/runs"));
        let answer = request.header("content-type", "application/json").body(body).send().await.expect("an answer");
        let status = answer.status();
        (status, answer.json::<Value>().await.expect("JSON")["code"].clone())
    };
    assert_eq!(
        start(format!("\"{}\"", "x".repeat(3 << 20))).await,
        (StatusCode::PAYLOAD_TOO_LARGE, json!("too-large"))
    );
    for deep in ["[".repeat(500_000), "[".repeat(500_000) + &"]".repeat(500_000), "[".repeat(129) + &"]".repeat(129)] {
        assert_eq!(start(deep).await, (StatusCode::BAD_REQUEST, json!("bad-request")));
    }
}
