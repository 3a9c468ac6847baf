//! `windlass:workflow/state`

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn what_a_run_publishes_is_read_without_waking_it_and_the_last_value_wins() {
    for host in [shared().await, forgetful().await] {
        let run = host.api.start("showing", Value::Null).await;
        host.api.wait_for_state(&run, RunState::Waiting).await;
        let values = async || {
            let state = host.api.get(&format!("/runs/{run}/state")).await;
            (state["values"]["phase"]["value"].clone(), state["values"]["fixed"]["value"].clone())
        };
        assert_eq!(values().await, (json!(1), json!("yes")));
        assert_eq!(host.api.run(&run).await.state, RunState::Waiting);
        host.api.signal(&run, "next", Value::Null).await;
        host.api.wait_for_events(&run, 1).await;
        host.api.wait_for_state(&run, RunState::Waiting).await;
        assert_eq!(values().await, (json!(2), json!("yes")));
        host.api.signal(&run, "next", Value::Null).await;
        host.api.end(&run).await;
        assert_eq!(values().await, (json!(2), json!("yes")));
    }
}
