//! A run that takes its host down with it.

use serde_json::json;
use windlass_host::model::RunState;

use crate::harness::api::{Api, document};
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, WINDLASS};

const NEIGHBOURS: usize = 50;

/// A host that dies where the step `harmless` of `rogue` begins.
async fn mortal_host(database: &Database) -> HostProcess {
    let mut command = std::process::Command::new(WINDLASS);
    command.args([
        "serve",
        "--insecure-no-auth",
        "--database-url",
        &database.url,
        "--schema",
        &database.schema,
        "--lease",
        "2s",
    ]);
    command.env("WINDLASS_TEST_ABORT_AT_STEP", "harmless");
    HostProcess::start(command).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_takes_its_host_down_three_times_is_quarantined_and_its_neighbours_finish() {
    let database = Database::new().await;
    let mut host = mortal_host(&database).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    host.api.deploy(guest_bytes("rogue"), "").await.expect("deployed");
    // In the middle of a step that takes longer than the host lives.
    let starts = (0..NEIGHBOURS).map(|_| host.api.start("slow", json!([400, 60_000, 1])));
    let neighbours = futures_util::future::join_all(starts).await;
    start_poison(&host.server).await;
    let mut deaths = 0;
    loop {
        let quarantined = "SELECT count(*) FROM runs WHERE state = 4";
        let is_over = eventually("the host dies, or the run is quarantined", async || {
            if host.ended().is_some() {
                return Some(false);
            }
            (database.count(quarantined).await > 0).then_some(true)
        });
        if is_over.await {
            break;
        }
        deaths += 1;
        assert!(deaths <= 3, "one death too many");
        host = mortal_host(&database).await;
    }
    assert_eq!(deaths, 3);
    let api: &Api = &host.api;
    let poison = database.text("SELECT run_id::text FROM runs WHERE state = 4").await.expect("the run");
    let run = api.run(&poison).await;
    assert_eq!(document(&run)["code"], "host-died");
    for (number, neighbour) in neighbours.iter().enumerate() {
        assert_eq!(api.end(neighbour).await.state, RunState::Completed, "{number}");
    }
    assert_eq!(database.count("SELECT count(*) FROM runs WHERE state = 4").await, 1);
}

/// Starts the run, whether or not anybody answers.
async fn start_poison(server: &str) {
    // With a signal: it is written before anybody is at it.
    let body = json!({ "workflow": "panics_after_a_step", "signal": { "name": "go" } });
    let request = crate::harness::api::http().post(format!("{server}/v1/namespaces/default/runs"));
    let request = request.header("Idempotency-Key", "poison").json(&body);
    // The host may be dead before it answers, and have written it all the same: nothing leaves before that.
    let _ = request.send().await;
}
