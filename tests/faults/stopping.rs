//! SIGKILL at every commit of a run that is asked to stop, by somebody or by its deadline, and cleans up.

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
async fn killed_at(number: u32, timeout: Option<&str>) -> bool {
    let database = Database::new().await;
    let proxy = Proxy::open(&database).await;
    let host = HostProcess::serve(&proxy.database, &OPTIONS).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let pid = host.pid();
    proxy.at_commit(number, Moment::After, move || kill_process(pid, Signal::KILL).expect("killed"));

    let mut client = Client { database: database.clone(), host, takeovers: 0 };
    let start = json!({ "workflow": "cleans_up", "timeout": timeout });
    let run: RunView = serde_json::from_value(client.ask(Method::POST, "/runs", "start", start).await).expect("a run");
    let path = format!("/runs/{}", run.run_id);
    if timeout.is_none() {
        client.ask(Method::POST, &format!("{path}/cancel"), "", Value::Null).await;
    }
    let mut ended = run;
    while ended.closed_at.is_none() {
        let run = client.ask(Method::GET, &format!("{path}?wait=5s"), "", Value::Null).await;
        ended = serde_json::from_value(run).expect("a run");
    }
    let what = format!("killed after commit {number}, timeout {timeout:?}");
    let (state, code, reason) = match timeout {
        Some(_) => (RunState::Failed, "deadline-exceeded", "deadline"),
        None => (RunState::Cancelled, "cancelled", "requested"),
    };
    assert_eq!((ended.state, document(&ended)["code"].clone()), (state, json!(code)), "{what}");
    let names = client.host.api.event_names(&ended.run_id).await;
    assert_eq!(names, [&*format!("cancel-requested {reason}"), "sleep", "step double"], "{what}");
    let state = client.host.api.get(&format!("{path}/state")).await;
    assert_eq!(state["values"]["cleaned"]["value"], 42, "{what}");
    assert_eq!(database.count("SELECT count(*) FROM inbox").await, 0, "{what}");
    proxy.is_done()
}

async fn killed_everywhere(timeout: Option<&str>) {
    let mut number = 1;
    while killed_at(number, timeout).await {
        number += 1;
    }
    assert!(number > 3, "only {number} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_asked_to_stop_cleans_up_wherever_its_host_dies() {
    killed_everywhere(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_deadline_comes_cleans_up_wherever_its_host_dies() {
    killed_everywhere(Some("300ms")).await;
}
