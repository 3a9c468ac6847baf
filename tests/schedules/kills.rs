//! A host dies just before or just after it has started the runs of ticks; the next one finds out which.

use rustix::process::{Signal, kill_process};
use serde_json::json;
use windlass_host::api::Backfilled;
use windlass_host::model::RunState;

use super::overlap::when;
use super::ticks::{OPTIONS, last_dealt_with, ticks_and_runs};
use super::{FAR_AWAY, get, put};
use crate::harness::api::http;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::proxy::{Moment, Proxy};

/// A host that is to die at a commit that changes something about runs.
struct Doomed {
    database: Database,
    proxy: Proxy,
    host: HostProcess,
}

impl Doomed {
    async fn with_schedule(schedule: serde_json::Value) -> Self {
        let database = Database::new().await;
        let proxy = Proxy::open(&database).await;
        let host = HostProcess::serve(&proxy.database, &OPTIONS).await;
        host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
        put(&host.api, "s", schedule).await.expect("made");
        Self { database, proxy, host }
    }

    fn dies_at(&self, commit: u32, moment: Moment) {
        let pid = self.host.pid();
        self.proxy.at_commit(commit, moment, move || kill_process(pid, Signal::KILL).expect("killed"));
    }

    async fn is_dead(&self) {
        eventually("it is killed", async || self.proxy.is_done().then_some(())).await;
    }

    /// The host after it.
    async fn next(&self) -> HostProcess {
        HostProcess::serve(&self.database, &OPTIONS).await
    }

    /// Ask something of the schedule that the host does not live to answer.
    async fn asks_in_vain(&self, what: &str, body: serde_json::Value) {
        let url = format!("{}/schedules/s/{what}", self.host.api.base);
        assert!(http().post(url).json(&body).send().await.is_err(), "{what} was answered");
        self.is_dead().await;
    }
}

async fn killed_over_a_tick(moment: Moment) {
    let doomed = Doomed::with_schedule(json!({ "workflow": "steps", "input": 4, "spec": { "cron": FAR_AWAY } })).await;
    doomed.dies_at(1, moment);
    last_dealt_with(&doomed.database, "s", 1).await;
    doomed.is_dead().await;
    assert_eq!(ticks_and_runs(&doomed.database).await, if moment == Moment::Before { (0, 0) } else { (1, 1) });

    let next = doomed.next().await;
    let run =
        eventually("it is dealt with", async || get(&next.api, "s").await.last_ticks.first()?.run_id.clone()).await;
    assert_eq!(next.api.result(&run).await, json!(12));
    assert_eq!(ticks_and_runs(&doomed.database).await, (1, 1), "killed {moment:?}");
    let view = get(&next.api, "s").await;
    assert_eq!((view.started, view.last_ticks.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_before_the_commit_of_a_tick_leaves_it_to_the_next() {
    killed_over_a_tick(Moment::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_dies_after_the_commit_of_a_tick_has_started_its_run() {
    killed_over_a_tick(Moment::After).await;
}

/// The run that a tick waited for is over, and the host dies when it starts that of the tick.
async fn killed_over_a_tick_that_waited(moment: Moment) {
    let schedule = json!({ "workflow": "forever", "spec": { "cron": FAR_AWAY }, "overlap": "buffer-one" });
    let doomed = Doomed::with_schedule(schedule).await;
    let Doomed { database, host, .. } = &doomed;
    last_dealt_with(database, "s", 60).await;
    let first = when(&host.api, "the first starts", |schedule| schedule.started == 1).await;
    let first = first.last_ticks[0].run_id.clone().expect("a run");
    last_dealt_with(database, "s", 1).await;
    when(&host.api, "the second waits", |schedule| schedule.queued_tick.is_some()).await;
    host.api.wait_for_state(&first, RunState::Waiting).await;
    // The first commit is the end of the run, the second that of the tick.
    doomed.dies_at(2, moment);
    host.api.terminate(&first, "that is enough").await;
    doomed.is_dead().await;
    assert_eq!(ticks_and_runs(database).await.0, if moment == Moment::Before { 1 } else { 2 });

    let next = doomed.next().await;
    let view = when(&next.api, "it is dealt with", |schedule| schedule.started == 2).await;
    assert_eq!((view.queued_tick, view.skipped, view.failed), (None, 0, 0), "killed {moment:?}");
    assert_eq!(ticks_and_runs(database).await, (2, 2), "killed {moment:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_that_waited_starts_once_whenever_the_host_dies_over_it() {
    killed_over_a_tick_that_waited(Moment::Before).await;
    killed_over_a_tick_that_waited(Moment::After).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_asked_for_is_there_whole_or_not_at_all_when_the_host_dies_over_it() {
    for moment in [Moment::Before, Moment::After] {
        let schedule = json!({ "workflow": "steps", "input": 4, "spec": { "cron": FAR_AWAY } });
        let doomed = Doomed::with_schedule(schedule).await;
        doomed.dies_at(1, moment);
        doomed.asks_in_vain("trigger", json!({})).await;
        let is_there = i64::from(moment == Moment::After);
        assert_eq!(ticks_and_runs(&doomed.database).await, (is_there, is_there));
        let next = doomed.next().await;
        // The schedule tells whoever asked whether there is a run, and of what id.
        let told = get(&next.api, "s").await.last_ticks.first().and_then(|tick| tick.run_id.clone());
        assert_eq!(told.is_some(), moment == Moment::After);
        if let Some(run) = told {
            assert_eq!(next.api.result(&run).await, json!(12));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_is_asked_for_again_comes_to_one_run_a_tick_whenever_the_host_died_over_it() {
    for moment in [Moment::Before, Moment::After] {
        let schedule = json!({ "workflow": "steps", "input": 2, "spec": { "cron": "30 2 * * *" } });
        let doomed = Doomed::with_schedule(schedule).await;
        let range = json!({ "from": "2026-03-01T00:00:00Z", "to": "2026-03-05T00:00:00Z" });
        doomed.dies_at(1, moment);
        doomed.asks_in_vain("backfill", range.clone()).await;
        assert_eq!(ticks_and_runs(&doomed.database).await, if moment == Moment::Before { (0, 0) } else { (4, 4) });
        let next = doomed.next().await;
        let filled: Backfilled = super::post(&next.api, "s", "backfill", range).await.json().await.expect("backfilled");
        assert_eq!((filled.ticks, filled.started), (4, if moment == Moment::Before { 4 } else { 0 }));
        assert_eq!(ticks_and_runs(&doomed.database).await, (4, 4), "killed {moment:?}");
        eventually("all end", async || {
            (doomed.database.count("SELECT count(*) FROM runs WHERE state = 0").await == 0).then_some(())
        })
        .await;
    }
}
