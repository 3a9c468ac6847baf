//! Whoever asks too often.

use reqwest::StatusCode;
use serde_json::Value;
use windlass_host::api::{ApiLimits, Rate};

use crate::harness::api::http;
use crate::harness::shared::shared;

#[tokio::test]
async fn a_namespace_that_asks_too_often_is_told_when_to_ask_again_and_others_are_not_touched() {
    let limits = ApiLimits { rate: Rate::new(1, Some(3)), ..ApiLimits::default() };
    let address = shared().await.entrance(limits, None).await;
    let http = http();
    let ask = async |namespace: &str| {
        http.get(format!("http://{address}/v1/namespaces/{namespace}/runs")).send().await.expect("an answer")
    };
    for _ in 0..3 {
        assert_eq!(ask("default").await.status(), StatusCode::OK);
    }
    let refused = ask("default").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((1..=2).contains(&seconds), "{seconds}");
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(problem["code"], "rate-limited");
    assert_eq!(
        problem["detail"],
        "the namespace may ask 1 times a second, and 3 times at once; try again after `Retry-After`"
    );
    assert_eq!(ask("def%61ult").await.status(), StatusCode::TOO_MANY_REQUESTS, "by any spelling");
    assert_ne!(ask("another").await.status(), StatusCode::TOO_MANY_REQUESTS);
    let health = http.get(format!("http://{address}/healthz")).send().await.expect("an answer");
    assert_eq!(health.status(), StatusCode::OK);
}
