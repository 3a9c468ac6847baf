//! `windlass:workflow/call`

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn a_step_that_lost_a_race_is_stopped_and_leaves_no_event() {
    let api = &shared().await.api;
    let run = api.start("outrun", Value::Null).await;
    assert_eq!(api.result(&run).await, "the timer");
    assert_eq!(api.event_names(&run).await, ["sleep"]);
}

#[tokio::test]
async fn a_signal_that_came_for_a_cancelled_call_goes_to_the_next() {
    for host in [shared().await, forgetful().await] {
        // Its calls time out all the time, at any moment of a signal's way to them.
        let run = host.api.start("collect_impatiently", json!([20, 3])).await;
        for item in 0..20 {
            assert!(host.api.signal(&run, "item", json!(item)).await.status().is_success());
        }
        assert_eq!(host.api.result(&run).await, json!((0..20).collect::<Vec<_>>()));
        assert_eq!(host.api.run(&run).await.state, RunState::Completed);
    }
}
