//! How many runs are under way at once.

use std::time::Duration;

use rand::RngExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, windlass};

async fn host(database: &Database, options: &[&str]) -> HostProcess {
    let host = HostProcess::serve(database, &[&["--park-after", "20ms"][..], options].concat()).await;
    host.api.deploy(guest_bytes("probe"), "127.0.0.1:*").await.expect("deployed");
    host
}

async fn put(api: &Api, path: &str, body: Value) -> Value {
    let response = api.request(Method::PUT, path, body.to_string()).await;
    let (status, body) = (response.status(), response.json().await.expect("JSON"));
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// Whether a gate is passed by more than may be, or a run stands in none or several places; or slots are counted wrongly.
const BROKEN: &str = "
    SELECT (SELECT count(*) FROM runs r WHERE r.state = 0 AND 1 <>
               (SELECT count(*) FROM ready q WHERE q.shard = r.shard AND q.run_id = r.run_id)
               + (SELECT count(*) FROM owned q WHERE q.shard = r.shard AND q.run_id = r.run_id)
               + (SELECT count(*) FROM parked q WHERE q.shard = r.shard AND q.run_id = r.run_id)
               + (SELECT count(*) FROM paused q WHERE q.shard = r.shard AND q.run_id = r.run_id)
               + (SELECT count(*) FROM queued q WHERE q.shard = r.shard AND q.run_id = r.run_id))
           + (SELECT count(*) FROM gates g WHERE g.taken > most_beyond(g)
                OR g.taken <> (SELECT count(*) FROM slots s WHERE s.gate_id = g.gate_id)
                OR g.taken < most_beyond(g) AND EXISTS (SELECT FROM queued q WHERE q.gate_id = g.gate_id))
           + (SELECT count(*) FROM slots s JOIN runs r USING (shard, run_id) WHERE r.state <> 0)
           -- Whoever has begun has its slots, whatever it is at.
           + (SELECT greatest(count(*) - 3, 0) FROM runs r WHERE r.workflow = 'naps' AND r.state = 0
                AND NOT EXISTS (SELECT FROM queued q WHERE q.shard = r.shard AND q.run_id = r.run_id))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_runs_are_under_way_than_may_be_whichever_host_dies_and_all_of_them_end() {
    let database = Database::new().await;
    let options = ["--lease", "2s", "--strikes", "0"];
    let mut hosts = [host(&database, &options).await, host(&database, &options).await];
    put(&hosts[0].api, "/workflows/naps/concurrency", json!({ "max_runs": 3, "max_per_key": 1 })).await;
    put(&hosts[0].api, "/concurrency", json!({ "max_runs": 4 })).await;
    for number in 0..80 {
        let (workflow, input) = if number % 4 == 3 { ("steps", json!(5)) } else { ("naps", json!(vec![100; 6])) };
        let key = format!("key-{}", number % 5);
        let body = json!({ "workflow": workflow, "input": input, "concurrency_key": key, "priority": 1 + number % 5 });
        hosts[number % 2].api.start_with(body).await;
    }
    let (mut looks, mut kills) = (0, 0);
    let begun = std::time::Instant::now();
    while database.count("SELECT count(*) FROM runs WHERE state = 0").await > 0 {
        assert_eq!(database.count(BROKEN).await, 0, "after {looks} looks and {kills} kills");
        looks += 1;
        assert!(begun.elapsed() < Duration::from_secs(120), "they do not end");
        if kills < 5 && begun.elapsed() > Duration::from_millis(400) * (kills + 1) {
            let victim = rand::rng().random_range(0..hosts.len());
            hosts[victim].kill();
            hosts[victim] = host(&database, &options).await;
            kills += 1;
        }
    }
    assert!(looks > 20 && kills == 5, "{looks} looks, {kills} kills");
    assert_eq!(database.count(BROKEN).await, 0);
    assert_eq!(database.count("SELECT count(*) FROM runs WHERE state = 1").await, 80);
    assert_eq!(database.count("SELECT count(*) FROM slots").await, 0);
    assert_eq!(
        database.count("SELECT count(*) FROM gates WHERE key <> ''").await,
        0,
        "gates of keys that nobody needs"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_counts_what_was_under_way_before_lets_go_when_it_is_raised_and_ends_nobody_when_it_is_lowered() {
    let database = Database::new().await;
    let host = host(&database, &[]).await;
    let api = &host.api;
    let set = async |max_runs: Value| put(api, "/workflows/forever/concurrency", json!({ "max_runs": max_runs })).await;
    let under_way = async || {
        let limits = api.get("/concurrency").await;
        (limits["limits"][0]["under_way"].as_u64(), limits["limits"][0]["waiting"].as_u64())
    };
    let mut runs = vec![api.start("forever", Value::Null).await, api.start("forever", Value::Null).await];
    set(json!(2)).await;
    assert_eq!(under_way().await, (Some(2), Some(0)), "both began before there was a limit");
    for _ in 0..4 {
        runs.push(api.start("forever", Value::Null).await);
    }
    assert_eq!(under_way().await, (Some(2), Some(4)));
    let waiting = api.run(&runs[5]).await;
    let waits_for: Value = serde_json::from_str(waiting.open_calls.expect("it waits").as_str()).expect("JSON");
    assert_eq!(
        (waiting.state, &waits_for[0]["kind"], &waits_for[0]["name"]),
        (RunState::Waiting, &json!("slot"), &json!("workflow"))
    );
    set(json!(5)).await;
    assert_eq!(under_way().await, (Some(5), Some(1)), "three go on at once, and no more");
    set(json!(1)).await;
    assert_eq!(under_way().await, (Some(5), Some(1)), "nobody is ended");
    // Four end before the next begins.
    for run in &runs[..4] {
        api.terminate(run, "enough").await;
        assert_eq!(under_way().await.1, Some(1));
    }
    api.terminate(&runs[4], "enough").await;
    assert_eq!(under_way().await, (Some(1), Some(0)));
    runs.push(api.start("forever", Value::Null).await);
    runs.push(api.start("forever", Value::Null).await);
    // The command line takes the limit away, and both go on.
    let ran = windlass(&host.server, &["concurrency", "unset", "--workflow", "forever"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(api.get("/concurrency").await["limits"], json!([]));
    eventually("all that are left wait for their signal", async || {
        (database.count("SELECT count(*) FROM parked").await == 3).then_some(())
    })
    .await;
    assert_eq!(database.count("SELECT count(*) FROM gates").await, 0);
    for run in &runs[5..] {
        api.terminate(run, "enough").await;
    }
    assert_eq!(database.count("SELECT count(*) FROM slots").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_waits_for_its_slot_can_be_paused_asked_to_stop_and_ended() {
    let database = Database::new().await;
    let host = host(&database, &[]).await;
    let api = &host.api;
    let ran = windlass(&host.server, &["concurrency", "set", "--workflow", "collect", "--max-per-key", "1"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let start = async |key: &str| {
        let body = json!({ "workflow": "collect", "input": 1, "concurrency_key": key });
        api.start_with(body).await.run_id
    };
    let first = start("a").await;
    let (asked, ended, paused, last) = (start("a").await, start("a").await, start("a").await, start("a").await);
    // Another key, and none.
    let others = [start("b").await, api.start("collect", json!(1)).await];
    for run in &others {
        api.signal(run, "item", json!(7)).await;
        assert_eq!(api.result(run).await, json!([7]));
    }
    assert_eq!(api.cancel(&asked).await.status(), 200);
    assert_eq!(api.end(&asked).await.state, RunState::Cancelled, "it had nothing to stop");
    assert_eq!(api.terminate(&ended, "enough").await.state, RunState::Failed);
    let pause = api.request(Method::POST, &format!("/runs/{paused}/pause"), "{}").await;
    assert_eq!(pause.status(), 200);
    // What comes for one that waits is there when it begins.
    api.signal(&last, "item", json!(2)).await;
    api.signal(&first, "item", json!(1)).await;
    assert_eq!(api.result(&first).await, json!([1]));
    // It has its slot now, and keeps it while it is paused.
    api.wait_for_state(&paused, RunState::Paused).await;
    eventually("it is set aside", async || (database.count("SELECT count(*) FROM paused").await == 1).then_some(()))
        .await;
    assert_eq!(api.run(&last).await.state, RunState::Waiting);
    api.signal(&paused, "item", json!(3)).await;
    let resume = api.request(Method::POST, &format!("/runs/{paused}/resume"), "{}").await;
    assert_eq!(resume.status(), 200);
    assert_eq!(api.result(&paused).await, json!([3]));
    assert_eq!(api.result(&last).await, json!([2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_others_wait_for_are_part_of_them_and_need_no_slot_of_the_namespace() {
    let database = Database::new().await;
    let host = host(&database, &[]).await;
    put(&host.api, "/concurrency", json!({ "max_runs": 1 })).await;
    // Their own limit holds for them.
    put(&host.api, "/workflows/twice/concurrency", json!({ "max_runs": 2 })).await;
    let runs = [host.api.start("parent", json!(5)).await, host.api.start("parent", json!(5)).await];
    for run in &runs {
        assert_eq!(host.api.result(run).await, 20);
    }
    let overlap = "SELECT count(*) FROM runs a JOIN runs b ON a.run_id < b.run_id AND b.started_at < a.closed_at
                   AND (SELECT min(e.at) FROM events e WHERE e.run_id = b.run_id) < a.closed_at
                   WHERE a.workflow = 'parent' AND b.workflow = 'parent'";
    assert_eq!(database.count(overlap).await, 0, "one after the other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_that_is_changed_by_somebody_who_dies_over_it_is_settled_by_others() {
    let database = Database::new().await;
    let host = host(&database, &[]).await;
    put(&host.api, "/workflows/forever/concurrency", json!({ "max_runs": 1 })).await;
    for _ in 0..3 {
        host.api.start("forever", Value::Null).await;
    }
    // The first of its transactions, and never the others.
    database.text("SELECT set_concurrency('default', 'forever', 3, NULL, 'cli:test')::text").await;
    eventually("all three are under way", async || {
        (database.count("SELECT count(*) FROM parked").await == 3).then_some(())
    })
    .await;
}
