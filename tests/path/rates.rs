//! How many attempts of a step begin in a second.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, windlass};
use crate::harness::shop::Shop;

/// A shop, and when requests came.
async fn watched_shop() -> (Shop, Arc<Mutex<Vec<Instant>>>) {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    let watch = Box::new(move |_key: String| {
        seen.lock().expect("no panic").push(Instant::now());
        Box::pin(async {}) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    });
    (Shop::open_watched(0, Some(watch)).await, times)
}

async fn buy(api: &Api, shop: &Shop, id: usize, posts: u32) -> String {
    api.start("buy", json!({ "id": id.to_string(), "shop": shop.url(), "posts": posts, "pause_ms": 0 })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_attempts_begin_than_may_at_two_hosts_together_and_the_rate_is_used() {
    let (database, (shop, times)) = (Database::new().await, watched_shop().await);
    // They park at once: a turn that was given to a run at one host is used at another.
    let options = ["--park-after", "50ms"];
    let hosts = [HostProcess::serve(&database, &options).await, HostProcess::serve(&database, &options).await];
    hosts[0].api.deploy(guest_bytes("probe"), &shop.address).await.expect("deployed");
    let (per_second, burst, attempts) = (20.0, 5, 24 * 5);
    let set = ["rate-limit", "set", "--step", "pay", "--per-second", "20", "--burst", "5"];
    let ran = windlass(&hosts[0].server, &set).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // The other host knows of it by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut runs = Vec::new();
    for number in 0..24 {
        runs.push(buy(&hosts[number % 2].api, &shop, number, 5).await);
    }
    for run in &runs {
        assert_eq!(hosts[0].api.result(run).await.as_array().map(Vec::len), Some(5));
    }
    let mut times = times.lock().expect("no panic").clone();
    times.sort();
    assert_eq!(times.len(), attempts);
    for (first, from) in times.iter().enumerate() {
        for (last, to) in times.iter().enumerate().skip(first) {
            // An attempt may be late for its turn, by a second at most.
            let may_be = f64::from(burst) + per_second * (to.duration_since(*from).as_secs_f64() + 1.0);
            assert!((last - first + 1) as f64 <= may_be, "{} in {:?}", last - first + 1, to.duration_since(*from));
        }
    }
    let took = times[attempts - 1].duration_since(times[0]).as_secs_f64();
    let least = (attempts as f64 - f64::from(burst)) / per_second;
    assert!(took >= least - 1.0 && took < 2.0 * least + 3.0, "{took} s for what takes {least} s");
    assert!(
        database.count("SELECT count(*) FROM attempts WHERE next_at IS NOT NULL AND failure IS NULL").await > 0,
        "nobody was parked"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_waits_for_its_turn_is_none_yet_and_holds_nothing() {
    let (database, (shop, times)) = (Database::new().await, watched_shop().await);
    let mut host = HostProcess::serve(&database, &["--park-after", "20ms"]).await;
    host.api.deploy(guest_bytes("probe"), &shop.address).await.expect("deployed");
    let path = "/rate-limits/pay";
    let body = json!({ "per_second": 0.5 }).to_string();
    assert_eq!(host.api.request(reqwest::Method::PUT, path, body).await.status(), 200);
    let run = buy(&host.api, &shop, 1, 3).await;
    // The first has its turn at once, and the second waits for two seconds: parked, as attempt 1 that is due then.
    let waiting = host.api.wait_for_state(&run, windlass_host::model::RunState::Waiting).await;
    let open: serde_json::Value = serde_json::from_str(waiting.open_calls.expect("it waits").as_str()).expect("JSON");
    assert_eq!((&open[0]["name"], &open[0]["next_attempt"]), (&json!("pay"), &json!(1)), "{open}");
    assert_eq!(times.lock().expect("no panic").len(), 1);
    // Whoever takes the run up after a death keeps its turn, or asks for another.
    host.kill();
    let host = HostProcess::serve(&database, &["--park-after", "20ms"]).await;
    host.api.result(&run).await;
    let times = times.lock().expect("no panic").clone();
    assert_eq!(times.len(), 3, "each attempt was made once");
    // One of them may be late for its turn, by a second at most, and the next is not.
    assert!(times.windows(2).all(|two| two[1].duration_since(two[0]) > Duration::from_millis(800)), "{times:?}");
    assert!(times[2].duration_since(times[0]) > Duration::from_millis(3_500), "{times:?}");
    let history = host.api.history(&run).await;
    assert!(history.events.iter().all(|event| event.attempt == Some(1)), "to wait is no attempt");
    // Without the limit, nobody waits.
    assert_eq!(host.api.request(reqwest::Method::DELETE, path, "").await.status(), 204);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let run = buy(&host.api, &shop, 2, 5).await;
    host.api.result(&run).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
