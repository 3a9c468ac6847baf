//! Trying again what has failed.

use serde_json::json;
use windlass_host::model::RunState;

use super::rewind::{done, host, post, purchase};
use crate::harness::api::document;
use crate::harness::host::windlass;
use crate::harness::till::Till;

#[tokio::test]
async fn a_run_that_has_failed_is_tried_again_from_where_it_failed() {
    let (_database, host) = host().await;
    let (api, till) = (&host.api, Till::open().await);
    let run = api.start("buy", json!({ "id": "A-1", "shop": till.url, "posts": 3, "pause_ms": 1_000 })).await;
    api.wait_for_events(&run, 1).await;
    till.set_closed(true);
    let failed = api.end(&run).await;
    assert_eq!((failed.state, &document(&failed)["code"]), (RunState::Failed, &json!("http-status")));
    let taken = till.taken().len();
    // As long as nothing was mended, it is no use; and does no harm.
    done(api, &format!("/runs/{run}/retry"), json!({})).await;
    assert_eq!(api.end(&run).await.state, RunState::Failed);
    till.set_closed(false);
    let retried = windlass(&host.server, &["retry", &run]).await;
    assert_eq!(retried.code, Some(0), "{}", retried.stderr);
    let receipts = api.result(&run).await;
    assert_eq!(json!(till.taken()), receipts, "each was taken once");
    assert!(receipts[taken].as_str().is_some_and(|key| key.ends_with("~2")), "{receipts}");
    let names = api.event_names(&run).await;
    assert_eq!(names.iter().filter(|name| *name == "step pay").count(), 3, "{names:?}");
    let (status, problem) = post(api, &format!("/runs/{run}/retry"), json!({})).await;
    assert_eq!((status, &problem["detail"]), (409, &json!("it is completed: nothing was changed")));
}

#[tokio::test]
async fn a_parent_that_has_failed_with_its_child_is_tried_again_after_it() {
    let (_database, host) = host().await;
    let (api, till) = (&host.api, Till::open().await);
    till.set_closed(true);
    let run = api.start("has_it_bought", purchase(&till, 1)).await;
    assert_eq!(api.end(&run).await.state, RunState::Failed);
    till.set_closed(false);
    let (status, problem) = post(api, &format!("/runs/{run}/retry"), json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("cannot-rewind")), "{problem}");
    let child = api.get("/runs?workflow=buy").await["runs"][0]["run_id"].as_str().expect("an id").to_owned();
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&child)), "{problem}");
    for run in [&child, &run] {
        done(api, &format!("/runs/{run}/retry"), json!({})).await;
    }
    assert_eq!(api.result(&run).await, json!([format!("default/{child}/0~1")]));
}

#[tokio::test]
async fn all_that_has_failed_while_something_was_away_is_tried_again_together_if_somebody_says_so() {
    let (_database, host) = host().await;
    let (api, till) = (&host.api, Till::open().await);
    till.set_closed(true);
    let mut runs = Vec::new();
    for number in 0..5 {
        let purchase = json!({ "id": format!("A-{number}"), "shop": till.url, "posts": 1, "pause_ms": 1 });
        runs.push(api.start("buy", purchase).await);
    }
    for run in &runs {
        assert_eq!(api.end(run).await.state, RunState::Failed);
    }
    till.set_closed(false);
    // What has failed may have failed for good: nobody means it who only says all.
    let all = windlass(&host.server, &["retry", "--all"]).await;
    assert!(all.stdout.contains("0 of 0 runs"), "{} {}", all.stdout, all.stderr);
    let failed = windlass(&host.server, &["retry", "--all", "--state", "failed", "--workflow", "buy"]).await;
    assert!(failed.stdout.contains("5 of 5 runs: goes on from where it was"), "{} {}", failed.stdout, failed.stderr);
    for run in &runs {
        assert_eq!(api.end(run).await.state, RunState::Completed);
    }
    assert_eq!(till.taken().len(), 5, "each was taken once");
}

#[tokio::test]
async fn a_run_that_has_dealt_with_its_failure_is_not_tried_again_by_itself() {
    let (_database, host) = host().await;
    let api = &host.api;
    let run = api.start("regrets", json!(null)).await;
    assert_eq!(api.end(&run).await.state, RunState::Failed);
    let (status, problem) = post(api, &format!("/runs/{run}/retry"), json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("cannot-rewind")), "{problem}");
    assert_eq!(api.event_names(&run).await, ["step gives_up", "step double"]);
    assert_eq!(api.run(&run).await.rewinds, 0);
}
