//! What becomes of the children of a run that is rewound.

use serde_json::{Value, json};
use windlass_host::model::RunState;

use super::rewind::{done, host, pause, post, resume, rewind};
use crate::harness::api::Api;
use crate::harness::ended::sql;
use crate::harness::eventually;

/// The children of `fosters`, the oldest first, with their states.
async fn fostered(api: &Api) -> Vec<(String, String)> {
    let runs = api.get("/runs?workflow=fostered").await;
    let text = |run: &Value, field: &str| run[field].as_str().expect("text").to_owned();
    let runs = runs["runs"].as_array().expect("runs").iter().rev();
    runs.map(|run| (text(run, "run_id"), text(run, "state"))).collect()
}

#[tokio::test]
async fn a_child_of_a_call_that_is_made_again_is_asked_to_stop_and_another_one_is_started() {
    let (database, host) = host().await;
    let api = &host.api;
    let run = api.start("fosters", json!(1)).await;
    api.signal(&run, "number", json!(2)).await;
    let old = eventually("there is a child", async || fostered(api).await.pop()).await.0;
    api.wait_for_state(&run, RunState::Waiting).await;
    pause(api, &run).await;
    rewind(api, &run, 0).await;
    resume(api, &run).await;
    let new = eventually("there is another", async || fostered(api).await.into_iter().nth(1)).await.0;
    assert_eq!(api.end(&old).await.state, RunState::Cancelled);
    assert_eq!(api.run(&run).await.state, RunState::Waiting, "the end of the old one is none of its business");
    api.signal(&new, "factor", json!(5)).await;
    assert_eq!(api.result(&run).await, json!([10]));
    assert_eq!(database.count("SELECT count(*) FROM children").await, 0);
    assert_eq!(database.count("SELECT count(*) FROM inbox").await, 0);
}

#[tokio::test]
async fn a_child_whose_call_stays_is_the_same_child_and_its_end_is_heard_of_again() {
    let (_database, host) = host().await;
    let api = &host.api;
    let run = api.start("fosters", json!(1)).await;
    api.signal(&run, "number", json!(2)).await;
    let child = eventually("there is a child", async || fostered(api).await.pop()).await.0;
    // It is still open: its parent waits for it, before and after.
    api.wait_for_state(&run, RunState::Waiting).await;
    pause(api, &run).await;
    let (status, problem) = post(api, &format!("/runs/{run}/rewind"), json!({ "before": 1 })).await;
    assert_eq!((status, &problem["code"]), (404, &json!("no-such-event")), "it is there already: {problem}");
    resume(api, &run).await;
    api.signal(&child, "factor", json!(5)).await;
    assert_eq!(api.result(&run).await, json!([10]));
    rewind(api, &run, 1).await;
    assert_eq!(api.result(&run).await, json!([10]));
    // The child by itself: its parent has been told, and is not told again, unless it is rewound to before that.
    rewind(api, &child, 0).await;
    assert_eq!(api.result(&child).await, 10);
    rewind(api, &run, 1).await;
    assert_eq!(api.result(&run).await, json!([10]));
    assert_eq!(fostered(api).await.len(), 1);
}

#[tokio::test]
async fn a_parent_that_is_rewound_waits_for_a_child_that_was_rewound_before() {
    let (database, host) = host().await;
    let api = &host.api;
    let run = api.start("fosters", json!(1)).await;
    api.signal(&run, "number", json!(2)).await;
    let child = eventually("there is a child", async || fostered(api).await.pop()).await.0;
    api.signal(&child, "factor", json!(5)).await;
    api.result(&run).await;
    done(api, &format!("/runs/{child}/rewind"), json!({ "before": 0, "pause": true })).await;
    // It is to come to something else.
    sql(&database, &format!("UPDATE inbox SET payload = '7' WHERE run_id = '{child}'")).await;
    rewind(api, &run, 1).await;
    api.wait_for_state(&run, RunState::Waiting).await;
    resume(api, &child).await;
    assert_eq!(api.result(&run).await, json!([14]));
}
