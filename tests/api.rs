//! The HTTP API as programs see it.

mod audit;
mod audited;
mod auth;
mod keys;
mod operations;
mod overview;
mod quarantine;
mod search;
mod wrong_tenant;

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::harness::api::http;
use crate::harness::shared::shared;

#[tokio::test]
async fn the_description_of_the_api_is_part_of_it_and_changes_only_on_purpose() {
    let server = shared().await.server;
    let served: Value =
        http().get(format!("{server}/openapi.json")).send().await.expect("an answer").json().await.expect("JSON");
    let made = serde_json::to_value(windlass_host::api::description()).expect("JSON");
    assert_eq!(served, made);
    let mut summary = String::new();
    for (path, methods) in made["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let statuses: Vec<_> = operation["responses"].as_object().expect("responses").keys().cloned().collect();
            summary += &format!("{:6} {path}  {}\n", method.to_uppercase(), statuses.join(" "));
        }
    }
    insta::assert_snapshot!("the_routes_of_the_api", summary);
    insta::assert_snapshot!("openapi", serde_json::to_string_pretty(&made).expect("JSON"));
}

#[tokio::test]
async fn a_run_is_followed_as_it_happens() {
    let host = shared().await;
    let run = host.api.start("one_of_each", Value::Null).await;
    let response = http().get(format!("{}/runs/{run}/follow", host.api.base)).send().await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    let mut sent = false;
    while let Ok(Some(Ok(bytes))) = tokio::time::timeout(Duration::from_secs(20), stream.next()).await {
        text += &String::from_utf8_lossy(&bytes);
        if !sent && text.matches("event: event").count() == 3 {
            sent = true;
            host.api.signal(&run, "go", json!(1)).await;
        }
    }
    let kinds: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("event: ")).filter(|kind| *kind != "state").collect();
    assert_eq!(kinds, ["event", "event", "event", "event", "end"]);
    let end = text.lines().rev().find_map(|line| line.strip_prefix("data: ")).expect("the end");
    let end: Value = serde_json::from_str(end).expect("JSON");
    assert_eq!((&end["state"], &end["result"]), (&json!("completed"), &json!(45)));
}

#[tokio::test]
async fn a_wait_is_answered_when_the_run_ends_and_not_later_than_asked() {
    let host = shared().await;
    let run = host.api.start("nap", json!(400)).await;
    let begun = std::time::Instant::now();
    let still = host.api.get(&format!("/runs/{run}?wait=50ms")).await;
    assert!(begun.elapsed() < Duration::from_millis(350), "{:?}", begun.elapsed());
    assert_eq!(still["closed_at"], Value::Null);
    let ended = host.api.get(&format!("/runs/{run}?wait=20s")).await;
    assert_eq!(ended["state"], "completed");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_time_that_guests_compute_is_counted() {
    let shared = shared().await;
    let seconds = async || {
        let text =
            http().get(format!("{}/metrics", shared.server)).send().await.expect("metrics").text().await.expect("text");
        let value = text.lines().find_map(|line| line.strip_prefix("windlass_guest_seconds_total ")).expect("a value");
        value.parse::<f64>().expect("a number")
    };
    let before = seconds().await;
    shared.api.end(&shared.api.start("spins", Value::Null).await).await;
    assert!(seconds().await > before + 0.01, "a guest has computed until its fuel was used up");
}
