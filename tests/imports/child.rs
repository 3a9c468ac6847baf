//! Runs that runs start.

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::document;
use crate::harness::eventually;
use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn children_run_side_by_side_and_give_their_results_to_their_parent() {
    for host in [shared().await, forgetful().await] {
        let run = host.api.start("parent", json!(20)).await;
        assert_eq!(host.api.result(&run).await, json!(380));
        let history = host.api.history(&run).await;
        assert!(history.events.iter().all(|event| event.kind == "child" && event.name == "twice"));
        let left = format!("SELECT count(*) FROM children WHERE run_id = '{run}'");
        assert_eq!(host.database.count(&left).await, 0);
        let started = format!("SELECT count(*) FROM runs WHERE parent_run_id = '{run}' AND state = 1");
        assert_eq!(host.database.count(&started).await, 20);
    }
}

#[tokio::test]
async fn the_failure_of_a_child_is_its_parent_s_to_handle() {
    let api = &shared().await.api;
    let run = api.start("bad_children", Value::Null).await;
    let failures = api.result(&run).await;
    assert_eq!(failures[0]["code"], "not-today");
    assert_eq!(failures[0]["details"], json!(["detail"]));
    assert_eq!(failures[1]["code"], "unknown-workflow");
}

#[tokio::test]
async fn when_a_parent_ends_its_children_stop_unless_they_were_to_go_on() {
    let host = shared().await;
    let run = host.api.start("leaves_children", Value::Null).await;
    let ids = host.api.result(&run).await;
    let id = |index: usize| ids[index].as_str().expect("an id").to_owned();
    let stopped = host.api.end(&id(0)).await;
    assert_eq!((stopped.state, stopped.parent_run_id.as_deref()), (RunState::Cancelled, Some(&*run)));
    assert_eq!(host.api.history(&id(0)).await.events[0].name, "parent-closed");
    for left in [id(1), id(2)] {
        host.api.wait_for_state(&left, RunState::Waiting).await;
        assert!(host.api.run(&left).await.cancel_requested_at.is_none());
        host.api.cancel(&left).await;
    }
}

#[tokio::test]
async fn a_child_that_lost_its_race_is_asked_to_stop() {
    let api = &shared().await.api;
    let run = api.start("impatient_parent", json!(50)).await;
    let child = api.result(&run).await;
    let child = api.end(child.as_str().expect("an id")).await;
    assert_eq!(child.state, RunState::Cancelled);
    assert_eq!(document(&child)["code"], "cancelled");
}

#[tokio::test]
async fn parent_and_child_send_each_other_signals() {
    for host in [shared().await, forgetful().await] {
        let run = host.api.start("ping", json!(4)).await;
        assert_eq!(host.api.result(&run).await, json!(8));
    }
}

#[tokio::test]
async fn a_child_that_is_terminated_has_failed_for_its_parent() {
    let host = shared().await;
    let run = host.api.start("impatient_parent", json!(60_000)).await;
    let query = format!("SELECT child_id::text FROM children WHERE run_id = '{run}'");
    let child = eventually("the child is there", async || host.database.text(&query).await).await;
    host.api.terminate(&child, "enough").await;
    let ended = host.api.end(&run).await;
    assert_eq!((ended.state, document(&ended)["code"].clone()), (RunState::Failed, json!("terminated")));
}
