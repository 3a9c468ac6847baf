//! `windlass:workflow/clock`, and the clocks of WASI in a workflow.

use serde_json::{Value, json};

use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn all_clocks_of_a_workflow_are_the_run_s_own_and_stand_still_while_it_computes() {
    let api = &shared().await.api;
    let run = api.start("worlds", json!(50)).await;
    let worlds = api.result(&run).await;
    let (before, after) = (&worlds[0], &worlds[1]);
    assert_eq!((&before["now_us"], &before["monotonic_us"]), (&before["system_us"], &json!(0)));
    assert_eq!(after["now_us"], after["system_us"]);
    let slept = after["now_us"].as_u64().zip(before["now_us"].as_u64()).map(|(after, before)| after - before);
    assert_eq!(after["monotonic_us"].as_u64(), slept);
    assert!(slept.is_some_and(|slept| slept >= 50_000), "{slept:?}");
}

#[tokio::test]
async fn a_replay_sees_the_same_times() {
    let api = &forgetful().await.api;
    let run = api.start("worlds", json!(50)).await;
    let before = &api.result(&run).await[0];
    // What it saw before the wait it saw again in the replay after it.
    assert_eq!(before["now_us"].as_u64(), Some(api.run(&run).await.started_at.as_micros()));
}

#[tokio::test]
async fn a_step_has_the_real_clock() {
    let api = &shared().await.api;
    let run = api.start("step_world", Value::Null).await;
    assert_eq!(api.result(&run).await, json!([true, true, 0]));
}
