//! Programs that were changed under their runs: each is caught at the first call that differs, and no history is touched.

use serde_json::{Value, json};
use windlass_host::model::RunState;
use windlass_host::run::RunConfig;
use windlass_host::worker::HostConfig;

use crate::harness::api::{Api, document};
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::shared::serve;

/// What the runs were started with. Their calls are numbered from 0; then each waits for the signal `0`.
pub(super) const SCRIPT: &str = "s1s2;t3;s4c5m6;g7;s8;g0";

/// Events of that.
pub(super) const HISTORY: u32 = 8;

/// Another program, and the first call of the history that it does not make, or makes otherwise.
pub(super) const MUTANTS: [(&str, &str, u32); 24] = [
    ("reordered side by side", "s2s1;t3;s4c5m6;g7;s8;g0", 0),
    ("reordered one after the other", "s1s2;s4;t3c5m6;g7;s8;g0", 2),
    ("another step", "r1s2;t3;s4c5m6;g7;s8;g0", 0),
    ("another step, later", "s1s2;t3;r4c5m6;g7;s8;g0", 3),
    ("another input", "s1s9;t3;s4c5m6;g7;s8;g0", 1),
    ("a longer sleep", "s1s2;t4;s4c5m6;g7;s8;g0", 2),
    ("another input of a child", "s1s2;t3;s4c9m6;g7;s8;g0", 4),
    ("another payload of a signal", "s1s2;t3;s4c5m9;g7;s8;g0", 5),
    ("another signal", "s1s2;t3;s4c5m6;g9;s8;g0", 6),
    ("a call more at the beginning", "s9s1s2;t3;s4c5m6;g7;s8;g0", 0),
    ("a call more in the middle", "s1s2;s9;t3;s4c5m6;g7;s8;g0", 2),
    ("a call more side by side", "s1s2;t3;s4s9c5m6;g7;s8;g0", 4),
    ("a call less at the beginning", "s2;t3;s4c5m6;g7;s8;g0", 0),
    ("a call less in the middle", "s1s2;s4c5m6;g7;s8;g0", 2),
    ("a call less side by side", "s1s2;t3;s4m6;g7;s8;g0", 4),
    ("a call less before the last", "s1s2;t3;s4c5m6;s8;g0", 6),
    ("a sleep instead of a step", "t1s2;t3;s4c5m6;g7;s8;g0", 0),
    ("a step instead of a sleep", "s1s2;s3;s4c5m6;g7;s8;g0", 2),
    ("a signal instead of a child", "s1s2;t3;s4g5m6;g7;s8;g0", 4),
    ("an update instead of a signal", "s1s2;t3;s4c5m6;u7;s8;g0", 6),
    ("a child instead of a signal that is sent", "s1s2;t3;s4c5c6;g7;s8;g0", 5),
    ("an earlier end", "s1s2;t3", 3),
    ("nothing at all", "", 0),
    ("a wait less", "s1;t3s2;s4c5m6;g7;s8;g0", 1),
];

/// Programs that come to the same: a history is about what was asked, not about how the program is written.
pub(super) const SAME: [&str; 3] = [SCRIPT, "s1s2;t3;s4c5m6;g7;s8;g0;r9", "s1s2;t3;s4c5m6;g7;s8;t1g0;s8s8"];

pub(crate) fn with(script: &str) -> Vec<u8> {
    let mut bytes = guest_bytes("script");
    let place = bytes.windows(7).position(|window| window == b"script:").expect("its script");
    bytes[place + 7..place + 48].fill(b' ');
    bytes[place + 7..place + 7 + script.len()].copy_from_slice(script.as_bytes());
    bytes
}

pub(super) async fn change(database: &Database, run: &str, version: u32) {
    let change = format!(
        "WITH changed AS (UPDATE runs SET version = {version} WHERE run_id = '{run}' RETURNING 1)
                          SELECT count(*) FROM changed"
    );
    assert_eq!(database.count(&change).await, 1);
}

/// A host that keeps no guest in memory, and `count` runs that wait for their signal.
async fn waiting(count: usize) -> (Database, Api, Vec<String>) {
    let database = Database::new().await;
    let run = RunConfig { park_after: std::time::Duration::ZERO, resident_bytes: 0, ..RunConfig::default() };
    let server = serve(&database, HostConfig { run, ..HostConfig::default() }).await;
    let api = Api::new(&server);
    api.deploy(with(SCRIPT), "127.0.0.1:*").await.expect("deployed");
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(api.start("script", Value::Null).await);
    }
    for run in &runs {
        api.signal(run, "7", json!(1)).await;
        api.wait_for_events(run, HISTORY).await;
        api.wait_for_state(run, RunState::Waiting).await;
    }
    (database, api, runs)
}

#[tokio::test]
async fn each_mutant_is_caught_at_its_first_call_that_differs_and_corrupts_nothing() {
    let (database, api, runs) = waiting(MUTANTS.len()).await;
    for (run, (what, script, call)) in runs.iter().zip(MUTANTS) {
        let before = api.history(run).await;
        let deployed = api.deploy(with(script), "127.0.0.1:*").await.expect("deployed");
        change(&database, run, deployed.version).await;
        api.signal(run, "0", json!(1)).await;
        let ended = api.end(run).await;
        assert_eq!(ended.state, RunState::Quarantined, "{what}: {}", document(&ended));
        let report = document(&ended);
        assert_eq!(report["code"], "divergence", "{what}");
        // Where it is answered at the latest; a later call that differs as well may have been answered before.
        let answered = before.events.iter().find(|event| event.call == Some(call)).expect("an event");
        let is_caught = report["divergence"]["seq"].as_u64().is_some_and(|seq| seq <= u64::from(answered.seq));
        let differs = report["divergence"]["expected"]["call"].as_u64() >= Some(u64::from(call));
        assert!(is_caught && differs, "{what}: {report}");
        let after = api.history(run).await;
        assert_eq!(json!(before.events), json!(after.events), "{what}");
    }
}

#[tokio::test]
async fn a_program_that_makes_the_same_calls_goes_on_with_the_history_of_another() {
    let (database, api, runs) = waiting(SAME.len()).await;
    for (run, script) in runs.iter().zip(SAME) {
        let deployed = api.deploy(with(script), "127.0.0.1:*").await.expect("deployed");
        change(&database, run, deployed.version).await;
        api.signal(run, "0", json!(1)).await;
        assert_eq!(api.result(run).await, "done", "{script}");
    }
}
