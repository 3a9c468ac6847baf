//! `windlass:workflow/run`, and what a workflow does not see.

use serde_json::json;

use crate::harness::shared::shared;

#[tokio::test]
async fn a_workflow_knows_its_run_and_nothing_of_the_machine() {
    let api = &shared().await.api;
    let run = api.start("worlds", json!(0)).await;
    let world = &api.result(&run).await[0];
    assert_eq!((&world["run_id"], &world["version"]), (&json!(run), &json!(1)));
    assert_eq!((&world["variables"], &world["files"]), (&json!(0), &json!(false)));
}
