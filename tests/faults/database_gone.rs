//! The database goes away and comes back.

use std::time::Duration;

use serde_json::json;
use windlass_host::model::RunState;
use windlass_host::postgres::{Binaries, Server};

use crate::harness::api::http;
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::shop::Shop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_on_when_the_database_is_back() {
    let folder = std::env::temp_dir().join(format!("windlass-gone-{}", std::process::id()));
    let start = || {
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || {
            Server::start(&folder, &Binaries::find().expect("installed")).expect("a server")
        })
    };
    let mut server = start().await.expect("started");
    let database = Database { url: server.url(), schema: "gone".into() };
    let shop = Shop::open(0).await;
    let host = HostProcess::serve(&database, &["--lease", "3s", "--park-after", "20ms"]).await;
    host.api.deploy(guest_bytes("probe"), &shop.address).await.expect("deployed");
    let mut runs = Vec::new();
    for number in 0..10 {
        let input = json!({ "id": number.to_string(), "shop": shop.url(), "posts": 30, "pause_ms": 10 });
        runs.push(host.api.start("buy", input).await);
    }
    // Shorter than the lease, and longer.
    for away in [Duration::from_millis(200), Duration::from_secs(5)] {
        tokio::time::sleep(Duration::from_millis(300)).await;
        // A fast shutdown: every session is cut, with whatever it is doing.
        tokio::task::spawn_blocking(move || drop(server)).await.expect("stopped");
        let status = http().get(format!("{}/readyz", host.server)).send().await.expect("an answer").status();
        assert_eq!(status, 503);
        tokio::time::sleep(away).await;
        server = start().await.expect("started");
    }
    for (number, run) in runs.iter().enumerate() {
        assert_eq!(host.api.result(run).await, json!(vec![format!("pay-{number}"); 30]));
        assert_eq!(host.api.run(run).await.state, RunState::Completed);
    }
    assert_eq!(database.count("SELECT count(*) FROM events").await, 10 * 60);
    assert!(shop.ledger().values().all(|entry| entry.effects == 1));
    tokio::task::spawn_blocking(move || drop(server)).await.expect("stopped");
    std::fs::remove_dir_all(&folder).expect("removed");
}
