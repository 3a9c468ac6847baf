//! Runs that cannot go on: seen together, and dealt with together.

use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, Ran, windlass};

async fn host() -> (Database, HostProcess) {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &["--park-after", "10ms"]).await;
    for guest in ["probe", "rogue"] {
        host.api.deploy(guest_bytes(guest), "").await.expect("deployed");
    }
    (database, host)
}

/// A run that the guest cannot go on with, whatever version it is. Somebody waits for it: from the second one on, the first that is
/// written of it is that it is quarantined.
async fn quarantined(host: &HostProcess) -> String {
    let run = host.api.request(Method::POST, "/runs?wait=20s", r#"{"workflow":"panics","input":null}"#).await;
    let run: Value = run.json().await.expect("a run");
    assert_eq!(run["state"], "quarantined", "{run}");
    run["run_id"].as_str().expect("an id").to_owned()
}

/// A run whose history is not what its guest asks for.
async fn diverged(database: &Database, host: &HostProcess) -> String {
    let run = host.api.start("collect", json!(2)).await;
    host.api.signal(&run, "item", json!(1)).await;
    host.api.wait_for_events(&run, 1).await;
    host.api.wait_for_state(&run, RunState::Waiting).await;
    rename(database, &run, "item", "thing").await;
    run
}

async fn rename(database: &Database, run: &str, from: &str, to: &str) {
    let rename = format!(
        "WITH changed AS (UPDATE events SET name = '{to}' WHERE run_id = '{run}' AND name = '{from}' RETURNING 1)
         SELECT count(*) FROM changed"
    );
    assert_eq!(database.count(&rename).await, 1);
}

fn well(ran: Ran) -> String {
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// A metric says so: what was committed is counted a moment later.
async fn counted(host: &HostProcess, name: &str, count: u64) {
    let said = async || {
        let text = reqwest::get(format!("{}/metrics", host.server)).await.ok()?.text().await.ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok())
    };
    eventually(&format!("{name} is {count}"), async || (said().await == Some(count)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_in_quarantine_say_why_since_when_how_often_and_what_to_do_and_are_retried_together() {
    let (database, mut host) = host().await;
    let mut panicked = Vec::new();
    for _ in 0..3 {
        panicked.push(quarantined(&host).await);
    }
    let run = diverged(&database, &host).await;
    // What a host has in memory is not read again.
    host.kill();
    let host = HostProcess::serve(&database, &["--park-after", "10ms"]).await;
    host.api.signal(&run, "item", json!(2)).await;
    host.api.wait_for_state(&run, RunState::Quarantined).await;
    let server = &*host.server;

    let all = well(windlass(server, &["quarantine", "list"]).await);
    for told in ["guest-panic, 3 of these: ", "divergence, 1 of these: ", "windlass migrate", "TIMES"] {
        assert!(all.contains(told), "{told}: {all}");
    }
    let one = well(windlass(server, &["quarantine", "list", "--code", "divergence", "--json"]).await);
    let one: Value = serde_json::from_str(&one).expect("one line");
    assert_eq!((&one["run_id"], &one["quarantines"]), (&json!(run), &json!(1)));
    assert!(one["quarantined_at"].as_str() > one["started_at"].as_str(), "{one}");
    let of_workflow = well(windlass(server, &["quarantine", "list", "--workflow", "panics"]).await);
    assert!(panicked.iter().all(|run| of_workflow.contains(run)) && !of_workflow.contains(&run), "{of_workflow}");
    counted(&host, "windlass_runs_quarantined_total{code=\"divergence\"}", 1).await;
    counted(&host, "windlass_runs_in_quarantine{code=\"guest-panic\"}", 3).await;

    // Asked only, nothing is done.
    let dry = well(windlass(server, &["retry", "--all", "--dry-run"]).await);
    assert!(dry.contains("4 runs; nothing was done") && dry.contains(&run), "{dry}");
    assert_eq!(host.api.run(&run).await.state, RunState::Quarantined);
    // What was mended goes on; what was not is back soon, one more time.
    rename(&database, &run, "thing", "item").await;
    let retried = well(windlass(server, &["retry", "--all", "--code", "divergence"]).await);
    assert!(retried.contains("1 of 1 runs: goes on from where it was"), "{retried}");
    assert_eq!(host.api.result(&run).await, json!([1, 2]));
    let retried = well(windlass(server, &["retry", "--all", "--workflow", "panics", "--json"]).await);
    assert_eq!(serde_json::from_str::<Value>(retried.lines().last().expect("a line")).expect("a tally")["done"], 3);
    eventually("they are back", async || {
        let again = "SELECT count(*) FROM runs WHERE state = 4 AND quarantines = 2";
        (database.count(again).await == 3).then_some(())
    })
    .await;
    counted(&host, "windlass_runs_quarantined_total{code=\"guest-panic\"}", 3).await;
    // Whoever names a run does not choose others, and what is not for a state says so.
    for (arguments, told) in [
        (&["retry", &panicked[0], "--workflow", "panics"][..], "not both"),
        (&["retry", "--all", "--state", "waiting"], "it is for runs that are quarantined, failed"),
        (&["retry"], "required"),
    ] {
        let refused = windlass(server, arguments).await;
        assert!(refused.code != Some(0) && refused.stderr.contains(told), "{arguments:?}: {}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_are_chosen_are_asked_to_stop_or_ended_together_and_others_are_not() {
    let (_database, host) = host().await;
    let server = &*host.server;
    let start = async |customer: &str| {
        let body = json!({ "workflow": "forever", "input": null, "tags": { "customer": customer } });
        host.api.start_with(body).await.run_id
    };
    let (mut acme, mut other) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        acme.push(start("acme").await);
        other.push(start("other").await);
    }
    let quarantined = quarantined(&host).await;
    for run in acme.iter().chain(&other) {
        host.api.wait_for_state(run, RunState::Waiting).await;
    }
    let dry = well(windlass(server, &["cancel", "--all", "--tag", "customer=acme", "--dry-run"]).await);
    assert!(dry.contains("3 runs; nothing was done"), "{dry}");
    let asked = well(windlass(server, &["cancel", "--all", "--tag", "customer=acme"]).await);
    assert!(asked.contains("3 of 3 runs: asked to stop"), "{asked}");
    for run in &acme {
        assert_eq!(host.api.end(run).await.state, RunState::Cancelled);
    }
    let ended = well(windlass(server, &["terminate", "--all", "--state", "quarantined", "--reason", "enough"]).await);
    assert!(ended.contains(&quarantined) && ended.contains("1 of 1 runs: ended"), "{ended}");
    assert_eq!(host.api.run(&quarantined).await.state, RunState::Failed);
    for run in &other {
        assert_eq!(host.api.run(run).await.state, RunState::Waiting);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_are_chosen_are_held_back_and_let_go_on_together_and_those_that_come_later_are_not_meant() {
    let (_database, host) = host().await;
    let server = &*host.server;
    let start = async |customer: &str| {
        let body = json!({ "workflow": "collect", "input": 1, "tags": { "customer": customer } });
        let run = host.api.start_with(body).await.run_id;
        host.api.wait_for_state(&run, RunState::Waiting).await;
        run
    };
    let (acme, other) = ([start("acme").await, start("acme").await], start("other").await);
    let dry = well(windlass(server, &["pause", "--all", "--tag", "customer=acme", "--dry-run"]).await);
    assert!(dry.contains("2 runs; nothing was done"), "{dry}");
    let paused = well(windlass(server, &["pause", "--all", "--tag", "customer=acme"]).await);
    assert!(paused.contains("2 of 2 runs: paused"), "{paused}");
    let later = start("acme").await;
    for run in acme.iter().chain([&other, &later]) {
        host.api.signal(run, "item", json!(7)).await;
    }
    for run in [&other, &later] {
        assert_eq!(host.api.result(run).await, json!([7]));
    }
    for run in &acme {
        assert_eq!(host.api.run(run).await.state, RunState::Paused);
    }
    let resumed = well(windlass(server, &["resume", "--all", "--workflow", "collect", "--json"]).await);
    assert_eq!(serde_json::from_str::<Value>(resumed.lines().last().expect("a line")).expect("a tally")["done"], 2);
    for run in &acme {
        assert_eq!(host.api.result(run).await, json!([7]));
    }
    // By itself, it is the workflow, and not the runs that are there.
    let held = well(windlass(server, &["pause", "--workflow", "collect"]).await);
    assert!(held.contains("hosts were at 0 of its runs"), "{held}");
    for (arguments, told) in [
        (&["pause", "--workflow", "collect", "--tag", "customer=acme"][..], "chosen with --all"),
        (&["pause"], "required"),
    ] {
        let refused = windlass(server, arguments).await;
        assert!(refused.code != Some(0) && refused.stderr.contains(told), "{arguments:?}: {}", refused.stderr);
    }
}
