//! Histories are delivered again to the same calls, or the run is quarantined.

use std::sync::Arc;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use windlass_host::model::{Editions, Namespace, Payload, RunId, RunState};
use windlass_host::run::{Programs, Progress, build_sandbox, replay};
use windlass_host::sandbox::{Compiler, Limits};
use windlass_host::store::Claimed;

use crate::harness::api::document;
use crate::harness::database::Database;
use crate::harness::shared::{forgetful, on_own_threads, shared};

/// The history of a run that has ended, delivered to a new instance: what it comes to.
async fn again(database: &Database, run: &str) -> (Progress, usize) {
    let run_id: RunId = run.parse().expect("an id");
    let database = database.clone();
    on_own_threads(move || async move {
        let store = database.store().await;
        let namespace = Namespace::new("default").expect("a namespace");
        let Claimed { info, input, .. } = store.recorded_run(&namespace, run_id).await.expect("read").expect("a run");
        let limits = Arc::new(Limits::default().guest);
        // Each instance reserves addresses, and a process has only so many.
        let few = Limits { workflow_instances: 8, step_instances: 8, ..Limits::default() };
        let sandbox = Arc::new(build_sandbox(few, Compiler::InProcess, None).expect("a sandbox"));
        let programs = Programs::new(store.clone(), sandbox, Editions::default());
        let program = programs.get(&info.namespace, &info.component, info.version).await.expect("a program");
        let events = store.history(&namespace, run_id, 0, 100_000).await.expect("a history");
        let count = events.len();
        let progress = tokio::task::spawn_blocking(move || {
            replay(&program.code, &limits, info, &input, events).expect("no divergence")
        });
        (progress.await.expect("no panic"), count)
    })
    .await
}

#[tokio::test]
async fn a_recorded_history_gives_the_same_calls_and_the_same_result() {
    let shared = shared().await;
    for (workflow, input, events) in [
        ("steps", json!(200), 200),
        ("fan", json!(100), 100),
        ("flaky", json!(3), 1),
        ("naps", json!([1, 2, 3]), 3),
        ("worlds", json!(20), 1),
        ("outrun", Value::Null, 1),
        ("first", json!(1), 1),
        ("yields", Value::Null, 2),
    ] {
        let run = shared.api.start(workflow, input).await;
        let result = Payload::of(&shared.api.result(&run).await);
        let (progress, count) = again(&shared.database, &run).await;
        let Progress::Completed(replayed) = progress else { panic!("{workflow}: {progress:?}") };
        assert_eq!(json(&replayed), json(&result), "{workflow}");
        assert_eq!(count, events, "{workflow}");
    }
}

fn json(payload: &Payload) -> Value {
    serde_json::from_str(payload.as_str()).expect("JSON")
}

/// A run is parked, its history is changed behind its back, and it wakes: the report.
async fn tampered(change: &str) -> Value {
    let host = forgetful().await;
    let run = host.api.start("one_of_each", Value::Null).await;
    host.api.wait_for_events(&run, 3).await;
    host.api.wait_for_state(&run, RunState::Waiting).await;
    let change = change.replace("$run", &format!("run_id = '{run}'"));
    sqlx::query(AssertSqlSafe(change)).execute(&mut host.database.session().await).await.expect("changed");
    host.api.signal(&run, "go", json!(1)).await;
    let ended = host.api.end(&run).await;
    assert_eq!(ended.state, RunState::Quarantined, "{}", document(&ended));
    let report = document(&ended);
    assert_eq!(report["code"], "divergence");
    report
}

#[tokio::test]
async fn a_guest_that_asks_another_step_is_quarantined_with_both() {
    let report = tampered("UPDATE events SET name = 'other' WHERE seq = 0 AND $run").await;
    let divergence = &report["divergence"];
    assert_eq!((&divergence["seq"], &divergence["expected"]["name"]), (&json!(0), &json!("other")));
    assert_eq!((&divergence["actual"]["name"], &divergence["actual"]["input"]), (&json!("double"), &json!(21)));
    let backtrace = report["backtrace"].as_array().expect("functions");
    assert!(
        backtrace.iter().any(|function| function.as_str().is_some_and(|name| name.contains("StepCall"))),
        "{report}"
    );
    insta::assert_snapshot!(report["message"].as_str().expect("a message"), @"the guest asked something other than its history says: event 0 of its history answers call 0, the step `other`, which this time is the step `double`. A workflow must do the same whenever it sees the same events: what varies belongs in a step");
}

/// Another result type of a step: nothing that the guest could ask shows it.
#[tokio::test]
async fn a_result_of_another_type_is_quarantined_and_does_not_end_the_run() {
    let host = forgetful().await;
    let run = host.api.start("one_of_each", Value::Null).await;
    host.api.wait_for_events(&run, 3).await;
    host.api.wait_for_state(&run, RunState::Waiting).await;
    let change = format!(
        "WITH changed AS (UPDATE events SET outcome = '\"x\"' WHERE seq = 0 AND run_id = '{run}' RETURNING 1)
                          SELECT count(*) FROM changed"
    );
    assert_eq!(host.database.count(&change).await, 1);
    host.api.signal(&run, "go", json!(1)).await;
    let ended = host.api.end(&run).await;
    assert_eq!(ended.state, RunState::Quarantined);
    let report = document(&ended);
    assert_eq!(report["code"], "guest-panic");
    assert!(report["last_error"].as_str().expect("a message").contains("of another type"), "{report}");
}

#[tokio::test]
async fn a_guest_that_asks_with_another_input_is_quarantined_with_both() {
    let report = tampered("UPDATE events SET input = '7' WHERE seq = 0 AND $run").await;
    assert_eq!(report["divergence"]["expected"]["input"], 7);
    assert_eq!(report["divergence"]["actual"]["input"], 21);
}

#[tokio::test]
async fn a_guest_that_asks_something_of_another_kind_is_quarantined_with_both() {
    let report = tampered("UPDATE events SET kind = 0, name = 'double' WHERE seq = 1 AND $run").await;
    assert_eq!(report["divergence"]["seq"], 1);
    assert_eq!(report["divergence"]["expected"]["kind"], "step");
    assert_eq!(report["divergence"]["actual"]["kind"], "sleep");
}

#[tokio::test]
async fn a_guest_that_does_not_ask_is_quarantined_with_what_was_expected() {
    let report = tampered("UPDATE events SET call = 9 WHERE seq = 2 AND $run").await;
    assert_eq!(report["divergence"]["expected"]["call"], 9);
    assert_eq!(report["divergence"]["actual"], Value::Null);
}

#[tokio::test]
async fn a_history_that_goes_on_after_the_guest_has_ended_is_a_divergence() {
    let host = forgetful().await;
    let run = host.api.start("one_of_each", Value::Null).await;
    host.api.wait_for_events(&run, 3).await;
    host.api.wait_for_state(&run, RunState::Waiting).await;
    let session = &mut host.database.session().await;
    for seq in [3, 4] {
        // The answer to its last call, twice: the second comes when the guest is gone.
        let extra = "INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
                     SELECT shard, run_id, $2, 2, 3, 'go', 'null', 0, false, '1', at, at FROM events WHERE run_id = $1 AND seq = 0";
        let run_id: RunId = run.parse().expect("an id");
        sqlx::query(extra).bind(run_id.0).bind(seq).execute(&mut *session).await.expect("added");
    }
    host.api.signal(&run, "go", json!(1)).await;
    let report = document(&host.api.end(&run).await);
    assert_eq!((&report["code"], &report["divergence"]["seq"]), (&json!("divergence"), &json!(4)));
}
