//! A host is stopped for longer than its lease lasts, and goes on as if nothing had happened.

use serde_json::json;
use windlass_host::model::RunState;

use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::shop::Shop;

const OPTIONS: [&str; 4] = ["--lease", "1500ms", "--park-after", "20ms"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_stopped_past_its_lease_writes_nothing_and_sends_nothing() {
    let (database, shop) = (Database::new().await, Shop::open(0).await);
    let first = HostProcess::serve(&database, &OPTIONS).await;
    first.api.deploy(guest_bytes("probe"), &shop.address).await.expect("deployed");
    // Many, so that some are in the middle of everything.
    let mut runs = Vec::new();
    for number in 0..20 {
        let input = json!({ "id": number.to_string(), "shop": shop.url(), "posts": 8, "pause_ms": 5 });
        runs.push(first.api.start("buy", input).await);
    }
    eventually("they are under way", async || (shop.ledger().len() > 20).then_some(())).await;
    first.pause();

    let second = HostProcess::serve(&database, &OPTIONS).await;
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(second.api.result(run).await, json!(vec![format!("pay-{number}"); 8]));
    }
    let events = "SELECT count(*) FROM events";
    let (before, ledger) = (database.count(events).await, shop.ledger());
    assert_eq!((before, ledger.len()), (20 * 16, 20 * 8));

    first.unpause();
    // It finds out, takes another lease, and is a host like any other.
    eventually("it serves again", async || {
        (database.count("SELECT count(*) FROM hosts WHERE epoch = 3 OR epoch = 2 AND lease_until > now()").await > 0)
            .then_some(())
    })
    .await;
    let run = first.api.start("steps", json!(5)).await;
    assert_eq!(first.api.result(&run).await, 20);

    assert_eq!(database.count(events).await, before + 5, "the zombie wrote");
    let requests = |ledger: &std::collections::BTreeMap<String, crate::harness::shop::Entry>| {
        ledger.values().map(|entry| entry.requests).sum::<u32>()
    };
    // A write that had begun when the host was stopped may still arrive, which no sender can help: that is what the key is
    // for. Of the hundreds that were to follow there is none.
    assert!(requests(&shop.ledger()) <= requests(&ledger) + 1, "the zombie sent");
    assert!(shop.ledger().values().all(|entry| entry.effects == 1));
    assert_eq!(second.api.run(&runs[0]).await.state, RunState::Completed);
}
