//! `windlass:workflow/timer`

use serde_json::json;

use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn a_sleep_is_over_when_its_time_has_come_whether_the_run_is_parked_or_not() {
    for host in [shared().await, forgetful().await] {
        for asked_ms in [0, 1, 20, 250] {
            let run = host.api.start("nap", json!(asked_ms)).await;
            let slept_us = host.api.result(&run).await.as_u64().expect("a number");
            assert!(slept_us >= asked_ms * 1_000, "{asked_ms} ms: {slept_us} µs");
        }
    }
}
