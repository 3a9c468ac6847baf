//! SIGKILL at every commit of a run that starts children, exchanges signals with them, begins again and answers an update.

use reqwest::Method;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use windlass_host::api::view::RunView;
use windlass_host::model::RunState;

use super::kills::{Client, OPTIONS};
use crate::harness::api::document;
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::proxy::{Moment, Proxy};

/// Take it to its end, with its host killed at the `number`-th commit. Returns whether there was such a commit.
async fn killed_at(number: u32, moment: Moment) -> bool {
    let database = Database::new().await;
    let proxy = Proxy::open(&database).await;
    let host = HostProcess::serve(&proxy.database, &OPTIONS).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let pid = host.pid();
    proxy.at_commit(number, moment, move || kill_process(pid, Signal::KILL).expect("killed"));

    let mut client = Client { database: database.clone(), host, takeovers: 0 };
    let start = json!({ "workflow": "relay", "input": [] });
    let run: RunView = serde_json::from_value(client.ask(Method::POST, "/runs", "start", start).await).expect("a run");
    let path = format!("/runs/{}", run.run_id);
    let what = format!("killed {moment:?} commit {number}");
    let mut update = Value::Null;
    while update["answered_at"].is_null() {
        update = client.ask(Method::POST, &format!("{path}/updates/add?wait=5s"), "update", json!(21)).await;
        assert!(update["code"].is_null(), "{what}: {update}");
    }
    let expected = json!([8, 16, 42]);
    assert_eq!(update["result"], expected, "{what}");
    let mut ended = run;
    while ended.closed_at.is_none() {
        let run = client.ask(Method::GET, &format!("{path}?wait=5s"), "", Value::Null).await;
        ended = serde_json::from_value(run).expect("a run");
        assert!(ended.report.is_none(), "{what}: {}", document(&ended));
    }
    assert_eq!((ended.state, document(&ended)), (RunState::Completed, expected), "{what}");
    // One of each, however often it was asked for: the run, two children, their letters, one update.
    for (rows, count) in [
        ("runs", 3),
        ("runs WHERE state = 1", 3),
        ("children", 0),
        ("inbox", 0),
        ("owned", 0),
        ("ready", 0),
        ("parked", 0),
        ("updates", 1),
        ("signal_ids", 2),
        ("events WHERE kind = 4", 2),
        ("events WHERE kind = 6", 1),
    ] {
        assert_eq!(database.count(&format!("SELECT count(*) FROM {rows}")).await, count, "{what}: {rows}");
    }
    proxy.is_done()
}

async fn killed_everywhere(moment: Moment) {
    let mut number = 1;
    while killed_at(number, moment).await {
        number += 1;
    }
    assert!(number > 10, "only {number} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_family_killed_before_any_commit_comes_to_the_same_result() {
    killed_everywhere(Moment::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_family_killed_after_any_commit_comes_to_the_same_result() {
    killed_everywhere(Moment::After).await;
}
