//! What becomes of a tick while the run of an earlier one is open.

use serde_json::json;
use windlass_host::api::ScheduleView;
use windlass_host::model::{RunState, run_of_tick};

use super::{delete, get, namespace, put};
use crate::harness::api::Api;
use crate::harness::eventually;

/// A schedule whose runs go on until somebody ends them.
async fn endless(overlap: &str) -> (Api, String) {
    let name = format!("schedules-{overlap}");
    let api = namespace(&name, json!({})).await;
    put(&api, "s", json!({ "workflow": "forever", "spec": { "every": "1s" }, "overlap": overlap }))
        .await
        .expect("made");
    (api, name)
}

pub(super) async fn when(api: &Api, what: &str, is_so: impl Fn(&ScheduleView) -> bool) -> ScheduleView {
    eventually(what, async || Some(get(api, "s").await).filter(&is_so)).await
}

/// The runs that are open, the oldest last.
async fn open(api: &Api) -> Vec<String> {
    let mut open = Vec::new();
    for run in api.get("/runs").await["runs"].as_array().expect("runs") {
        if run["closed_at"].is_null() {
            open.push(run["run_id"].as_str().expect("an id").to_owned());
        }
    }
    open
}

async fn end(api: &Api) {
    assert!(delete(api, "s").await.is_success());
    for run in open(api).await {
        api.terminate(&run, "the test is over").await;
    }
}

#[tokio::test]
async fn skip_starts_nothing_while_a_run_is_open() {
    let (api, _) = endless("skip").await;
    when(&api, "ticks are skipped", |schedule| schedule.skipped >= 2).await;
    let first = open(&api).await;
    assert_eq!((first.len(), get(&api, "s").await.started), (1, 1));
    api.terminate(&first[0], "that is enough").await;
    let view = when(&api, "the next one starts", |schedule| schedule.started == 2).await;
    assert!(view.last_ticks.iter().any(|tick| tick.outcome == "skipped" && tick.run_id.is_none()));
    end(&api).await;
}

#[tokio::test]
async fn buffer_one_lets_one_tick_wait_for_the_end_of_the_run() {
    let (api, name) = endless("buffer-one").await;
    let view = when(&api, "one waits, and the next is skipped", |schedule| schedule.skipped >= 1).await;
    let queued = view.queued_tick.expect("one waits");
    let first = open(&api).await;
    assert_eq!((first.len(), view.started), (1, 1));
    api.terminate(&first[0], "that is enough").await;
    when(&api, "the one that waited starts", |schedule| schedule.started == 2).await;
    assert_eq!(open(&api).await, [run_of_tick(&name, "s", queued).1.to_string()]);
    // One that waits when the schedule is paused does not start any more.
    when(&api, "another waits", |schedule| schedule.queued_tick.is_some()).await;
    super::post(&api, "s", "pause", json!({})).await;
    let paused = get(&api, "s").await;
    assert_eq!((paused.queued_tick, &*paused.last_ticks[0].outcome), (None, "skipped"));
    end(&api).await;
}

#[tokio::test]
async fn cancel_asks_the_run_to_stop_and_starts_when_it_has() {
    let (api, _) = endless("cancel").await;
    let mut most = 0;
    eventually("three have started", async || {
        most = most.max(open(&api).await.len());
        (get(&api, "s").await.started >= 3).then_some(())
    })
    .await;
    assert_eq!(most, 1, "never two at once");
    let runs = api.get("/runs").await;
    let oldest = runs["runs"].as_array().and_then(|runs| runs.last()).expect("a run")["run_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let oldest = api.run(&oldest).await;
    assert!(oldest.state == RunState::Cancelled && oldest.cancel_requested_at.is_some());
    end(&api).await;
}

#[tokio::test]
async fn allow_starts_every_tick_beside_what_runs() {
    let (api, _) = endless("allow").await;
    let view = when(&api, "three have started", |schedule| schedule.started >= 3).await;
    assert_eq!(view.skipped, 0);
    assert!(open(&api).await.len() >= 3);
    end(&api).await;
}
