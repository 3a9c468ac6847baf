//! Whoever asks too often.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use windlass_host::api::{ApiLimits, Rate};
use windlass_host::model::Scope;

use crate::harness::api::{Api, http};
use crate::harness::database::Database;
use crate::harness::host::HostProcess;
use crate::harness::shared::shared;
use crate::harness::tenants::new_key;

/// Two keys of one namespace, each of which may ask less often than it.
#[tokio::test]
async fn a_key_that_asks_too_often_is_told_so_and_the_others_of_its_namespace_go_on() {
    let database = Database::new().await;
    let host = HostProcess::serve_with_keys(&database, &["--key-rate-limit", "1", "--key-rate-burst", "3"]).await;
    let store = database.store().await;
    let api = async || Api::with_key(&host.server, "default", &new_key(&store, "default", &[Scope::Read]).await);
    let (busy, quiet) = (api().await, api().await);
    let ask = async |api: &Api| api.request(Method::GET, "/runs", "").await;
    for _ in 0..3 {
        assert_eq!(ask(&busy).await.status(), StatusCode::OK);
    }
    let refused = ask(&busy).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.headers()["retry-after"].to_str().expect("text").parse().expect("a number");
    let problem: Value = refused.json().await.expect("a problem");
    assert_eq!(
        problem["detail"],
        "the API key may ask 1 times a second, and 3 times at once; try again after `Retry-After`"
    );
    assert_eq!(ask(&quiet).await.status(), StatusCode::OK);
    // What it was told is so.
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    assert_eq!(ask(&busy).await.status(), StatusCode::OK);
}

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
