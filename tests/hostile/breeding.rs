//! A family that doubles with each generation. Every run in it keeps every limit of a run: what ends it is what its namespace may keep.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;

/// Bytes that the namespace may keep. It can be over that by what its hosts write in a second.
const STORAGE: u64 = 3_000_000;
const STORAGE_AND_A_SECOND: u64 = 10 * STORAGE;

#[tokio::test]
async fn a_family_that_breeds_without_end_stops_at_what_its_namespace_may_keep_and_its_neighbours_go_on() {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let hostile = host.api.in_namespace("hostile");
    let limits = json!({ "limits": { "storage_bytes": STORAGE } });
    assert!(hostile.request(Method::PUT, "", limits.to_string()).await.status().is_success());
    hostile.deploy(guest_bytes("rogue"), "").await.expect("deployed");
    hostile.start("breeds", Value::Null).await;
    let family = async || database.count("SELECT count(*) FROM runs WHERE namespace = 'hostile'").await;
    let (mut before, mut still) = (0, 0);
    // For as long as it grows, and a while after.
    while still < 10 {
        let body = json!({ "workflow": "steps", "input": 3 }).to_string();
        let honest: Value = host.api.request(Method::POST, "/runs?wait=20s", body).await.json().await.expect("a run");
        assert_eq!(honest["state"], "completed", "{honest}");
        tokio::time::sleep(Duration::from_millis(300)).await;
        let members = family().await;
        still = if members == before { still + 1 } else { 0 };
        before = members;
        let kept = hostile.get("").await["stored_bytes"].as_u64().expect("a number");
        assert!(kept < STORAGE_AND_A_SECOND, "{kept} bytes, {members} runs");
    }
    assert!(before > 500, "{before} runs are no flood");
    // Those that would have bred wait for room, and nothing of them is lost.
    let one =
        database.text("SELECT run_id::text FROM parked WHERE namespace = 'hostile' LIMIT 1").await.expect("a run");
    let waits = hostile.run(&one).await.open_calls.expect("calls").as_str().to_owned();
    assert!(waits.contains("storage_bytes"), "{waits}");
    // It can be ended without touching anybody else.
    let ended = hostile.terminate(&one, "enough").await;
    assert_eq!(ended.state.as_str(), "failed");
}
