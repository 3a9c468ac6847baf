//! Clients that keep a host waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use windlass_host::api::{ApiLimits, Certificate};

use super::{Raw, get};
use crate::harness::certificates::Authority;
use crate::harness::shared::shared;

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn whoever_does_not_finish_the_head_of_a_request_is_cut_off() {
    let limits = ApiLimits { head_timeout: SHORT, ..ApiLimits::default() };
    let address = shared().await.entrance(limits, None).await;
    let begun = Instant::now();
    let mut slow = Raw::connect(address).await;
    slow.say("GET /healthz HTTP/1.1\r\nhost: te").await;
    let mut other = Raw::connect(address).await;
    other.say(&get("/healthz")).await;
    assert!(other.hear_head().await.starts_with("HTTP/1.1 200"), "others are served meanwhile");
    assert_eq!(slow.hear().await, "");
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whoever_does_not_finish_a_tls_handshake_is_cut_off() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("localhost");
    let certificate = Some(Arc::new(Certificate::open(&certificate, &key).expect("a certificate")));
    let limits = ApiLimits { head_timeout: SHORT, ..ApiLimits::default() };
    let address = shared().await.entrance(limits, certificate).await;
    let begun = Instant::now();
    assert_eq!(Raw::connect(address).await.hear().await, "");
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_body_that_comes_slowly_is_refused_whether_it_stops_or_trickles() {
    let limits = ApiLimits { stall_timeout: SHORT, ..ApiLimits::default() };
    let address = shared().await.entrance(limits, None).await;
    let head = "POST /v1/namespaces/default/runs HTTP/1.1\r\nhost: localhost\r\n\
                content-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    let mut stopped = Raw::connect(address).await;
    stopped.say(head).await;
    let answer = stopped.hear().await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"too-slow\""), "{answer}");

    let (mut hears, mut says) = Raw::connect(address).await.0.into_split();
    says.write_all(head.as_bytes()).await.expect("said");
    let trickle = tokio::spawn(async move {
        while says.write_all(b" ").await.is_ok() {
            tokio::time::sleep(SHORT / 6).await;
        }
    });
    let mut answer = String::new();
    // However it is closed.
    hears.read_to_string(&mut answer).await.ok();
    assert!(answer.starts_with("HTTP/1.1 408"), "a byte now and then is not enough: {answer}");
    trickle.await.expect("it ends");
}

#[tokio::test]
async fn whoever_does_not_take_the_answers_is_cut_off() {
    let limits = ApiLimits { stall_timeout: SHORT, ..ApiLimits::default() };
    let address = shared().await.entrance(limits, None).await;
    let mut greedy = Raw::connect(address).await;
    greedy.say(&get("/openapi.json")).await;
    let one = {
        let mut one = Raw::connect(address).await;
        one.say("GET /openapi.json HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        one.hear().await.len()
    };
    // More than both kernels' buffers hold.
    let asked = (64 << 20) / one;
    for _ in 0..asked {
        greedy.say(&get("/openapi.json")).await;
    }
    tokio::time::sleep(10 * SHORT).await;
    let heard = greedy.hear().await.len();
    assert!(heard < asked * one, "{heard} bytes of {}", asked * one);
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_closed() {
    let limits = ApiLimits { head_timeout: SHORT, idle_timeout: 2 * SHORT, ..ApiLimits::default() };
    let address = shared().await.entrance(limits, None).await;
    let mut never = Raw::connect(address).await;
    let mut once = Raw::connect(address).await;
    once.say(&get("/healthz")).await;
    let begun = Instant::now();
    assert!(once.hear_head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(once.hear().await, "ok\n");
    assert!(begun.elapsed() >= 2 * SHORT, "{:?}", begun.elapsed());
    assert_eq!(never.hear().await, "");
}

#[tokio::test]
async fn whoever_waits_for_a_run_is_not_slow() {
    let host = shared().await;
    let limits = ApiLimits { head_timeout: SHORT, idle_timeout: SHORT, stall_timeout: SHORT, ..ApiLimits::default() };
    let address = host.entrance(limits, None).await;
    let run = host.api.start("nap", serde_json::json!(1_500)).await;
    let mut patient = Raw::connect(address).await;
    patient.say(&get(&format!("/v1/namespaces/default/runs/{run}?wait=20s"))).await;
    let answer = patient.hear().await;
    assert!(answer.contains("\"completed\""), "{answer}");
}
