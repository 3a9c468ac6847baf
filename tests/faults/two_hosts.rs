//! Several hosts share a database.

use std::collections::BTreeSet;

use serde_json::json;
use windlass_host::model::RunState;

use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::shop::Shop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_never_both_own_a_run() {
    let (database, shop) = (Database::new().await, Shop::open(0).await);
    // They park at once: whoever is first takes the run up again, so that runs go to and fro.
    let options = ["--park-after", "0s", "--active-runs", "8"];
    let hosts = [HostProcess::serve(&database, &options).await, HostProcess::serve(&database, &options).await];
    hosts[0].api.deploy(guest_bytes("probe"), &shop.address).await.expect("deployed");
    let mut runs = Vec::new();
    for number in 0..60 {
        let input = json!({ "id": number.to_string(), "shop": shop.url(), "posts": 4, "pause_ms": 20 });
        runs.push(hosts[number % 2].api.start("buy", input).await);
    }
    let mut owners = BTreeSet::new();
    loop {
        // The key of `owned` is the run: that a run has two owners cannot even be written. What could be is two activations,
        // and those would send twice.
        let rows: Vec<(uuid::Uuid, uuid::Uuid)> = sqlx::query_as("SELECT run_id, host_id FROM owned")
            .fetch_all(&mut database.session().await)
            .await
            .expect("owners");
        owners.extend(rows);
        if database.count("SELECT count(*) FROM runs WHERE state = 0").await == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(hosts[(number + 1) % 2].api.result(run).await, json!(vec![format!("pay-{number}"); 4]));
    }
    let hosts_seen: BTreeSet<_> = owners.iter().map(|(_, host)| host).collect();
    let runs_seen: BTreeSet<_> = owners.iter().map(|(run, _)| run).collect();
    assert_eq!(hosts_seen.len(), 2);
    assert!(owners.len() > runs_seen.len(), "no run was seen at both hosts");
    let ledger = shop.ledger();
    assert_eq!(ledger.len(), 240);
    assert!(ledger.values().all(|entry| entry.requests == 1), "something was sent twice");
    assert_eq!(database.count("SELECT count(*) FROM events").await, 60 * 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_reaches_a_run_at_another_host() {
    let database = Database::new().await;
    let hosts =
        [HostProcess::serve(&database, &[]).await, HostProcess::serve(&database, &["--park-after", "1h"]).await];
    hosts[1].api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    // The second host keeps it; the first is told, and passes it on.
    let run = hosts[1].api.start("collect", json!(3)).await;
    hosts[1].api.wait_for_state(&run, RunState::Running).await;
    for item in 0..3 {
        assert!(hosts[0].api.signal(&run, "item", json!(item)).await.status().is_success());
    }
    let begun = std::time::Instant::now();
    assert_eq!(hosts[0].api.result(&run).await, json!([0, 1, 2]));
    assert!(begun.elapsed().as_secs() < 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_host_has_no_room_for_another_takes() {
    let database = Database::new().await;
    let small = HostProcess::serve(&database, &["--active-runs", "1"]).await;
    small.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(small.api.start("slow", json!([3_000, 60_000, 1])).await);
    }
    let large = HostProcess::serve(&database, &[]).await;
    let begun = std::time::Instant::now();
    for run in &runs {
        assert_eq!(large.api.result(run).await, 3_000);
    }
    assert!(begun.elapsed().as_millis() < 9_000, "they did not run side by side: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parents_and_children_are_at_home_on_any_host() {
    let database = Database::new().await;
    let options = ["--park-after", "0s", "--active-runs", "6"];
    let hosts = [HostProcess::serve(&database, &options).await, HostProcess::serve(&database, &options).await];
    hosts[0].api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let mut runs = Vec::new();
    for number in 0..8 {
        runs.push(hosts[number % 2].api.start("parent", json!(10)).await);
        runs.push(hosts[number % 2].api.start("ping", json!(number)).await);
    }
    for (number, run) in runs.iter().enumerate() {
        let expected = if number % 2 == 0 { json!(90) } else { json!(number - 1) };
        assert_eq!(hosts[number % 2].api.result(run).await, expected);
    }
    for (rows, count) in [("runs", 8 + 80 + 8 + 8), ("runs WHERE state = 1", 104), ("children", 0), ("inbox", 0)] {
        assert_eq!(database.count(&format!("SELECT count(*) FROM {rows}")).await, count, "{rows}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_is_answered_whichever_host_it_was_sent_to() {
    let database = Database::new().await;
    let hosts = [HostProcess::serve(&database, &[]).await, HostProcess::serve(&database, &[]).await];
    hosts[0].api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let run = hosts[0].api.start("counter", json!(10)).await;
    for number in 1..=10 {
        let path = format!("/runs/{run}/updates/add?wait=20s");
        let answer = hosts[number % 2].api.request(reqwest::Method::POST, &path, "1").await;
        let answer: serde_json::Value = answer.json().await.expect("JSON");
        assert_eq!(answer["result"], number, "{answer}");
    }
    assert_eq!(hosts[1].api.result(&run).await, json!(10));
}

/// A host that has kept a guest in memory finds that its run has begun again elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_continues_as_new_to_and_fro_between_hosts() {
    let database = Database::new().await;
    let options = ["--park-after", "0s"];
    let hosts = [HostProcess::serve(&database, &options).await, HostProcess::serve(&database, &options).await];
    hosts[0].api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let mut runs = Vec::new();
    for _ in 0..6 {
        let lap = json!({ "left": 6, "sum": 0, "random": [], "lengths": [] });
        runs.push(hosts[0].api.start("laps", lap).await);
    }
    for item in 1..=12 {
        for run in &runs {
            hosts[item % 2].api.wait_for_state(run, RunState::Waiting).await;
            assert!(hosts[item % 2].api.signal(run, "item", json!(item)).await.status().is_success());
        }
        for run in &runs {
            hosts[0].api.wait_for_events(run, item as u32).await;
        }
    }
    for run in &runs {
        assert_eq!(hosts[1].api.result(run).await, json!([78, 6, [2, 2, 2, 2, 2, 2]]));
    }
}
