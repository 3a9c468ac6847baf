//! Each tick starts its run once, whoever dies over it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use windlass_host::model::due_at;

use super::{FAR_AWAY, delete, get, put};
use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::proxy::{Moment, Proxy};

/// Short, so that the next host takes over soon.
pub(super) const OPTIONS: [&str; 2] = ["--lease", "2s"];

/// Do as if no host had dealt with it for so many seconds. Returns what it has started before: those ticks come again, and each of them
/// has its run.
pub(super) async fn last_dealt_with(database: &Database, schedule: &str, seconds: u32) -> i64 {
    let earlier = format!(
        "WITH changed AS (UPDATE schedules SET next_tick = date_trunc('second', now()) - interval '{seconds} seconds', \
         due_at = date_trunc('second', now()) - interval '{seconds} seconds' WHERE schedule = '{schedule}' RETURNING started) \
         SELECT started FROM changed"
    );
    database.count(&earlier).await
}

/// Ticks that have a run, and runs.
pub(super) async fn ticks_and_runs(database: &Database) -> (i64, i64) {
    let of_schedules = "FROM runs WHERE idempotency_key LIKE 'schedule/%'";
    let ticks = database.count(&format!("SELECT count(DISTINCT idempotency_key) {of_schedules}")).await;
    (ticks, database.count(&format!("SELECT count(*) {of_schedules}")).await)
}

/// All that `s` has started, when it has nothing to make up for any more.
async fn started(api: &Api) -> i64 {
    eventually("nothing is to be made up for", async || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("later").as_micros();
        let next = get(api, "s").await.next_ticks[0];
        (u128::from(next.as_micros()) > now).then_some(())
    })
    .await;
    i64::try_from(get(api, "s").await.started).expect("few")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_tick_starts_one_run_however_many_hosts_see_that_it_is_due() {
    let database = Database::new().await;
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(HostProcess::serve(&database, &OPTIONS).await);
    }
    let api = &hosts[0].api.clone();
    api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    put(api, "s", json!({ "workflow": "steps", "input": 1, "spec": { "every": "1s" }, "overlap": "allow" }))
        .await
        .expect("made");
    let before = last_dealt_with(&database, "s", 300).await;
    eventually("they are under way", async || (get(api, "s").await.started > 20).then_some(())).await;
    // One of them stops in the middle of it, past its lease, and goes on as if nothing had happened; another dies.
    hosts[1].pause();
    hosts[2].kill();
    let made_up = started(api).await;
    hosts[1].unpause();
    eventually("it goes on", async || {
        (get(api, "s").await.started >= u64::try_from(made_up).expect("few") + 4).then_some(())
    })
    .await;
    super::post(api, "s", "pause", json!({})).await;
    let view = get(api, "s").await;
    assert_eq!((view.skipped, view.missed, view.failed), (0, 0, 0));
    assert!(view.started >= 304);
    let (ticks, runs) = ticks_and_runs(&database).await;
    assert_eq!((ticks, runs), (runs, i64::try_from(view.started).expect("few") - before));
    // None was left out.
    let seconds = "SELECT extract(epoch FROM max(t) - min(t))::bigint + 1 FROM \
                   (SELECT substr(idempotency_key, 12)::timestamptz AS t FROM runs WHERE idempotency_key LIKE 'schedule/s/%') q";
    assert_eq!(database.count(seconds).await, runs);
    eventually("all runs end", async || {
        (database.count("SELECT count(*) FROM runs WHERE state = 0").await == 0).then_some(())
    })
    .await;
}

/// The answer is lost and the host lives: it looks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_whose_commit_is_not_answered_is_not_started_twice() {
    let database = Database::new().await;
    let proxy = Proxy::open(&database).await;
    let host = HostProcess::serve(&proxy.database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    put(&host.api, "s", json!({ "workflow": "steps", "spec": { "cron": FAR_AWAY }, "input": 1, "overlap": "allow" }))
        .await
        .expect("made");
    proxy.at_commit(1, Moment::After, || {});
    last_dealt_with(&database, "s", 1).await;
    eventually("it is cut off", async || proxy.is_done().then_some(())).await;
    last_dealt_with(&database, "s", 0).await;
    eventually("the next is dealt with", async || (get(&host.api, "s").await.started == 2).then_some(())).await;
    assert_eq!(ticks_and_runs(&database).await, (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_starts_when_it_is_due_at_whichever_host_that_is_known() {
    let database = Database::new().await;
    let hosts = [HostProcess::serve(&database, &OPTIONS).await, HostProcess::serve(&database, &OPTIONS).await];
    hosts[0].api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let late = "SELECT coalesce(max(extract(epoch FROM started_at - substr(idempotency_key, 12)::timestamptz) * 1000), 0)::bigint \
                FROM runs WHERE idempotency_key LIKE 'schedule/s/%'";
    put(&hosts[0].api, "s", json!({ "workflow": "steps", "input": 1, "spec": { "every": "1s" }, "overlap": "allow" }))
        .await
        .expect("made");
    eventually("it has ticked", async || (get(&hosts[0].api, "s").await.started >= 3).then_some(())).await;
    let late = database.count(late).await;
    // Of a machine that has other things to do.
    assert!(late < 900, "{late} ms");
    delete(&hosts[1].api, "s").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_starts_as_much_later_as_its_jitter_says_at_whichever_host() {
    const JITTER: Duration = Duration::from_millis(900);
    let database = Database::new().await;
    let hosts = [HostProcess::serve(&database, &OPTIONS).await, HostProcess::serve(&database, &OPTIONS).await];
    let api = &hosts[0].api;
    api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let body =
        json!({ "workflow": "steps", "input": 1, "spec": { "every": "1s" }, "jitter": "900ms", "overlap": "allow" });
    put(api, "s", body).await.expect("made");
    eventually("it has ticked", async || (get(api, "s").await.started >= 4).then_some(())).await;
    let view = get(api, "s").await;
    delete(api, "s").await;
    assert_eq!((view.skipped, view.missed, view.failed), (0, 0, 0));
    let mut late = BTreeSet::new();
    for tick in &view.last_ticks {
        let due = due_at("default", "s", tick.tick, JITTER);
        let run = api.run(tick.run_id.as_ref().expect("a run")).await;
        // By the clock of the database, all of it.
        assert!(tick.tick <= due && due <= run.started_at && run.started_at <= tick.noted_at, "{due}: {tick:?}");
        // Of a machine that has other things to do.
        assert!(run.started_at.since(due) < Duration::from_millis(900), "{due}: {tick:?}");
        late.insert(due.since(tick.tick));
    }
    assert!(late.len() > 1 && late.iter().all(|late| *late < JITTER), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ticks_of_a_time_without_hosts_are_made_up_for_in_order_unless_they_are_too_late() {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let body =
        json!({ "workflow": "steps", "input": 1, "spec": { "every": "1s" }, "overlap": "allow", "catch_up": "60s" });
    put(&host.api, "s", body).await.expect("made");
    last_dealt_with(&database, "s", 100_000).await;
    // A tick that was dealt with before that has its run already.
    let set_back_at = database.text("SELECT clock_timestamp()::text").await.expect("a time");
    eventually("those that are too late are missed", async || {
        (get(&host.api, "s").await.missed >= 99_930).then_some(())
    })
    .await;
    let started = started(&host.api).await;
    super::post(&host.api, "s", "pause", json!({})).await;
    let view = get(&host.api, "s").await;
    assert!((50..=100).contains(&started) && view.missed <= 99_960 && view.skipped == 0, "{view:?}");
    assert_eq!(view.last_ticks[0].outcome, "started");
    let out_of_order = format!(
        "SELECT count(*) FROM (SELECT started_at < lag(started_at) OVER (ORDER BY idempotency_key) AS wrong \
         FROM runs WHERE idempotency_key LIKE 'schedule/s/%' AND started_at > '{set_back_at}') q WHERE wrong"
    );
    assert_eq!(database.count(&out_of_order).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ticks_once_starts_one_run_and_is_over() {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let soon = database
        .text("SELECT to_char((now() + interval '1 second') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')");
    let body = json!({ "workflow": "steps", "input": 3, "spec": { "at": soon.await } });
    put(&host.api, "s", body.clone()).await.expect("made");
    let run = eventually("it ticks", async || get(&host.api, "s").await.last_ticks.first()?.run_id.clone()).await;
    assert_eq!(host.api.result(&run).await, json!(6));
    let view = get(&host.api, "s").await;
    assert_eq!((view.started, view.next_ticks.len()), (1, 0));
    // Put again, it is over still.
    assert!(put(&host.api, "s", body).await.expect("as it was").next_ticks.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_that_can_start_nothing_says_why_and_the_next_one_starts_again() {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    put(&host.api, "s", json!({ "workflow": "steps", "input": 1, "spec": { "every": "1s" }, "overlap": "allow" }))
        .await
        .expect("made");
    let (gone, back) = (
        "UPDATE workflows SET workflow = 'moved' WHERE workflow = 'steps' RETURNING 1::bigint",
        "UPDATE workflows SET workflow = 'steps' WHERE workflow = 'moved' RETURNING 1::bigint",
    );
    assert_eq!(database.count(gone).await, 1);
    eventually("it fails", async || (get(&host.api, "s").await.failed > 0).then_some(())).await;
    let view = get(&host.api, "s").await;
    let failed = view.last_ticks.iter().find(|tick| tick.outcome == "failed").expect("a tick");
    assert_eq!((failed.reason.as_deref(), &failed.run_id), (Some("no-such-workflow"), &None));
    assert_eq!(database.count(back).await, 1);
    let started = view.started;
    eventually("it starts again", async || (get(&host.api, "s").await.started > started).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_with_a_hundred_thousand_ticks_to_make_up_for_does_not_hold_up_another() {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let other = host.api.in_namespace("other");
    assert!(other.request(reqwest::Method::PUT, "", "{}").await.status().is_success());
    other.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let spec = json!({ "every": "1s" });
    for number in 0..300 {
        let body = json!({ "workflow": "forever", "spec": spec, "catch_up": "1h" });
        put(&host.api, &format!("s{number}"), body).await.expect("made");
    }
    let backlog = "WITH changed AS (UPDATE schedules SET next_tick = now() - interval '1000 s', due_at = now() - interval '1000 s' \
                   WHERE namespace = 'default' RETURNING 1) SELECT count(*) FROM changed";
    assert_eq!(database.count(backlog).await, 300);
    put(&other, "s", json!({ "workflow": "steps", "input": 1, "spec": spec, "overlap": "allow" })).await.expect("made");
    eventually("the other ticks", async || (get(&other, "s").await.started >= 2).then_some(())).await;
    let late = "SELECT max(extract(epoch FROM started_at - substr(idempotency_key, 12)::timestamptz) * 1000)::bigint \
                FROM runs WHERE namespace = 'other'";
    let late = database.count(late).await;
    let behind = "SELECT count(*) FROM schedules WHERE namespace = 'default' AND due_at < now() - interval '10 s'";
    assert!(database.count(behind).await > 0, "there was nothing to wait for");
    assert!(late < 2_000, "{late} ms");
}

/// A host looks at 200 of those that wait for the end of runs at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_ticks_that_wait_for_the_end_of_runs_each_has_its_turn() {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let body = json!({ "workflow": "steps", "input": 1, "spec": { "cron": FAR_AWAY }, "overlap": "buffer-one" });
    put(&host.api, "s", body).await.expect("made");
    let open = host.api.start("forever", serde_json::Value::Null).await;
    // Those of the first 599 have a run that does not end.
    let wait = format!(
        "WITH made AS (
             INSERT INTO schedules (namespace, schedule, workflow, input, durability, spec, overlap, jitter_us, catch_up_us, queued_tick)
             SELECT namespace, to_char(n, 'fm0000'), workflow, input, durability, spec, overlap, jitter_us, catch_up_us, now()
             FROM schedules, generate_series(1, 600) n RETURNING *
         ), noted AS (
             INSERT INTO schedule_ticks (namespace, schedule, tick, outcome, run_id)
             SELECT namespace, schedule, now() - interval '1 second', 0, '{open}' FROM made WHERE schedule <= '0599'
         )
         SELECT count(*) FROM made"
    );
    assert_eq!(database.count(&wait).await, 600);
    let mut session = database.session().await;
    let mut waiting = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM schedules WHERE queued_tick IS NOT NULL");
        count.fetch_one(&mut session).await.expect("a count")
    };
    eventually("the last has started", async || (waiting().await == 599).then_some(())).await;
    host.api.terminate(&open, "enough").await;
    eventually("all have started", async || (waiting().await == 0).then_some(())).await;
    assert_eq!(database.count("SELECT count(*) FROM runs WHERE idempotency_key LIKE 'schedule/%'").await, 600);
}
