//! A host is killed at each of its commit points, just before the commit and just after: the run comes to the same result,
//! with every effect there exactly once.

use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use windlass_host::api::view::RunView;
use windlass_host::model::RunState;

use crate::harness::api::{document, http};
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::proxy::{Moment, Proxy};
use crate::harness::shop::Shop;

/// Short, so that the next host takes over soon.
pub(super) const OPTIONS: [&str; 4] = ["--lease", "2s", "--park-after", "20ms"];

/// What the client has to do, however often its host goes away.
pub(super) struct Client {
    pub(super) database: Database,
    pub(super) host: HostProcess,
    pub(super) takeovers: u32,
}

impl Client {
    /// Ask the host; if it does not answer, start another and ask that one.
    pub(super) async fn ask(&mut self, method: reqwest::Method, path: &str, key: &str, body: Value) -> Value {
        loop {
            let request = http().request(method.clone(), format!("{}{path}", self.host.api.base));
            let request = request.header("Idempotency-Key", key).json(&body);
            if let Ok(response) = request.send().await
                && let Ok(answer) = response.json().await
            {
                return answer;
            }
            self.host = HostProcess::serve(&self.database, &OPTIONS).await;
            self.takeovers += 1;
        }
    }
}

/// Take a run to its end, with its host killed at the `number`-th commit. Returns whether there was such a commit.
async fn killed_at(number: u32, moment: Moment, durability: &str) -> bool {
    let (database, shop) = (Database::new().await, Shop::open(0).await);
    let proxy = Proxy::open(&database).await;
    let host = HostProcess::serve(&proxy.database, &OPTIONS).await;
    host.api.deploy(guest_bytes("probe"), &shop.address).await.expect("deployed");
    let pid = host.pid();
    proxy.at_commit(number, moment, move || kill_process(pid, Signal::KILL).expect("killed"));

    let mut client = Client { database: database.clone(), host, takeovers: 0 };
    let input = json!({ "id": "k", "shop": shop.url(), "posts": 0, "pause_ms": 60 });
    let body = json!({ "workflow": "mixed", "input": input, "durability": durability });
    let run: RunView =
        serde_json::from_value(client.ask(reqwest::Method::POST, "/runs", "start", body).await).expect("a run");
    let path = format!("/runs/{}", run.run_id);
    client.ask(reqwest::Method::POST, &format!("{path}/signals/approval"), "approval", json!("yes")).await;
    let what = format!("the run ends, killed {moment:?} commit {number}");
    let mut ended = None;
    while ended.is_none() {
        let run = client.ask(reqwest::Method::GET, &format!("{path}?wait=5s"), "", Value::Null).await;
        let run: RunView = serde_json::from_value(run).expect("a run");
        ended = (run.closed_at.is_some() || run.report.is_some()).then_some(run);
    }
    let ended = ended.expect("a run");
    assert_eq!(ended.state, RunState::Completed, "{what}: {}", document(&ended));
    assert_eq!(document(&ended), json!(["pay-k", "pay-k", 42, "pay-k yes"]), "{what}");
    let names = client.host.api.event_names(&run.run_id).await;
    let mut sorted = names.clone();
    sorted.sort();
    let expected = ["signal approval", "sleep", "step double", "step pay", "step pay", "step pay"];
    assert_eq!(sorted, expected, "{what}: {names:?}");
    let ledger = shop.ledger();
    assert_eq!(ledger.len(), 3, "{what}: {ledger:?}");
    let takeovers = client.takeovers;
    // Each effect once; an attempt that was under way when its host died is made again, with the same key.
    assert!(ledger.values().all(|entry| entry.effects == 1 && entry.requests <= 1 + takeovers), "{what}: {ledger:?}");
    for (table, count) in [("owned", 0), ("ready", 0), ("parked", 0), ("inbox", 0), ("runs WHERE state = 1", 1)] {
        assert_eq!(database.count(&format!("SELECT count(*) FROM {table}")).await, count, "{what}: {table}");
    }
    proxy.is_done()
}

async fn killed_everywhere(moment: Moment, durability: &str) {
    let mut number = 1;
    while killed_at(number, moment, durability).await {
        number += 1;
    }
    // start, two gates or their events, the sleep, the park, the letter, the claim, the third gate, the end …
    assert!(number > 6, "only {number} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_killed_before_any_commit_comes_to_the_same_result() {
    killed_everywhere(Moment::Before, "output").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_killed_after_any_commit_comes_to_the_same_result() {
    killed_everywhere(Moment::After, "output").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strict_run_killed_at_any_commit_comes_to_the_same_result() {
    killed_everywhere(Moment::After, "strict").await;
}

/// The answer to a commit is lost and the host lives: it asks again, and nothing is there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_commits_are_not_answered_comes_to_the_same_result() {
    let (database, shop) = (Database::new().await, Shop::open(0).await);
    let proxy = Proxy::open(&database).await;
    let host = HostProcess::serve(&proxy.database, &["--park-after", "20ms"]).await;
    host.api.deploy(guest_bytes("probe"), &shop.address).await.expect("deployed");
    for number in 2..12 {
        let input = json!({ "id": "u", "shop": shop.url(), "posts": 2, "pause_ms": 40 });
        // Cut after the first, which is the start and whose loss the client would see.
        proxy.at_commit(number, Moment::After, || {});
        let run = host.api.start("buy", input).await;
        assert_eq!(host.api.result(&run).await, json!(["pay-u", "pay-u"]), "cut at {number}");
        assert_eq!(host.api.event_names(&run).await, ["step pay", "sleep", "step pay", "sleep"], "cut at {number}");
    }
    assert!(shop.ledger().values().all(|entry| entry.requests == 1), "{:?}", shop.ledger());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_killed_is_replaced_long_before_its_lease_runs_out() {
    let database = Database::new().await;
    let mut first = HostProcess::serve(&database, &["--lease", "60s"]).await;
    first.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    // Six seconds from heartbeat to heartbeat: late after nine.
    let second = HostProcess::serve(&database, &["--lease", "10s"]).await;
    let run = first.api.start("slow", json!([300, 60_000, 1])).await;
    first.api.wait_for_state(&run, RunState::Running).await;
    first.kill();
    let begun = std::time::Instant::now();
    assert_eq!(second.api.result(&run).await, 300);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_asked_to_stop_lets_go_of_its_runs_and_ends_soon() {
    let database = Database::new().await;
    let mut first = HostProcess::serve(&database, &["--park-after", "1h"]).await;
    first.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let waiting = first.api.start("forever", Value::Null).await;
    let stepping = first.api.start("slow", json!([30_000, 60_000, 1])).await;
    let napping = first.api.start("nap", json!(600_000)).await;
    for run in [&waiting, &stepping, &napping] {
        first.api.wait_for_state(run, RunState::Running).await;
    }
    let (status, took) = first.terminate();
    assert!(status.success() && took < Duration::from_secs(5), "{status} after {took:?}");
    assert_eq!(database.count("SELECT count(*) FROM owned").await, 0);
    assert_eq!(database.count("SELECT count(*) FROM hosts").await, 0);
    assert_eq!(database.count("SELECT count(*) FROM parked").await, 2);
    assert_eq!(database.count("SELECT count(*) FROM ready").await, 1);
    let second = HostProcess::serve(&database, &[]).await;
    second.api.cancel(&waiting).await;
    assert_eq!(second.api.end(&waiting).await.state, RunState::Cancelled);
    eventually("the step is repeated", async || {
        (second.api.run(&stepping).await.state == RunState::Running).then_some(())
    })
    .await;
}
