//! Rewinding runs to before one of their events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::RunState;

use super::divergence::{HISTORY, MUTANTS, change, with};
use crate::harness::api::{Api, document};
use crate::harness::database::Database;
use crate::harness::ended::sql;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, windlass};
use crate::harness::proxy::{Moment, Proxy};
use crate::harness::till::Till;

/// The status of an answer, and what it says.
pub(super) async fn post(api: &Api, path: &str, body: Value) -> (u16, Value) {
    let response = api.request(Method::POST, path, body.to_string()).await;
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

pub(super) async fn done(api: &Api, path: &str, body: Value) -> Value {
    let (status, answer) = post(api, path, body).await;
    assert!([200, 201].contains(&status), "{path}: {answer}");
    answer
}

pub(super) async fn rewind(api: &Api, run: &str, before: u32) -> Value {
    done(api, &format!("/runs/{run}/rewind"), json!({ "before": before })).await
}

pub(super) async fn pause(api: &Api, run: &str) {
    done(api, &format!("/runs/{run}/pause"), json!({})).await;
    api.wait_for_state(run, RunState::Paused).await;
}

pub(super) async fn resume(api: &Api, run: &str) {
    done(api, &format!("/runs/{run}/resume"), json!({})).await;
}

/// A host that keeps guests of parked runs in memory, with the probe.
pub(super) async fn serve(database: &Database) -> HostProcess {
    let host = HostProcess::serve(database, &["--park-after", "1ms"]).await;
    host.api.deploy(guest_bytes("probe"), "127.0.0.1:*").await.expect("deployed");
    host
}

pub(super) async fn host() -> (Database, HostProcess) {
    let database = Database::new().await;
    let host = serve(&database).await;
    (database, host)
}

pub(super) fn purchase(till: &Till, posts: u32) -> Value {
    json!({ "id": "A-1", "shop": till.url, "posts": posts, "pause_ms": 0 })
}

/// In how many of the small tables a run stands.
async fn places(database: &Database, run: &str) -> i64 {
    let count = |table: &str| format!("(SELECT count(*) FROM {table} WHERE run_id = '{run}')");
    database.count(&format!("SELECT {}", ["ready", "owned", "parked", "paused"].map(count).join(" + "))).await
}

#[tokio::test]
async fn a_run_that_is_over_goes_on_from_before_an_event_its_steps_are_made_again_and_its_old_history_is_kept() {
    let (_database, host) = host().await;
    let (api, till) = (&host.api, Till::open().await);
    let run = api.start("buy", purchase(&till, 3)).await;
    let key = |suffix: &str| format!("default/{run}/{suffix}");
    let first = json!([key("0"), key("1"), key("2")]);
    assert_eq!(api.result(&run).await, first);
    let before = api.history(&run).await;
    let rewound = rewind(api, &run, 1).await;
    assert_eq!((&rewound["rewind"], &rewound["dropped"]), (&json!(1), &json!(2)), "{rewound}");
    assert_eq!(api.result(&run).await, json!([key("0"), key("1~1"), key("2~1")]));
    assert_eq!(rewind(api, &run, 2).await["rewind"], 2);
    assert_eq!(api.result(&run).await, json!([key("0"), key("1~1"), key("2~2")]));
    assert_eq!(till.taken(), ["0", "1", "2", "1~1", "2~1", "2~2"].map(key));
    // What is kept of before.
    let rewinds = api.get(&format!("/runs/{run}/rewinds")).await;
    let shown = |n: usize, field: &str| rewinds["rewinds"][n][field].clone();
    assert_eq!((shown(0, "before"), shown(0, "state"), shown(0, "result")), (json!(1), json!("completed"), first));
    assert_eq!((shown(1, "before"), shown(1, "who")), (json!(2), json!("dev")));
    let past = api.get(&format!("/runs/{run}/history?rewind=1")).await;
    assert_eq!(past["events"], json!(before.events[1..]));
    let shown = windlass(&host.server, &["history", &run, "--rewind", "1"]).await;
    assert!(shown.stdout.contains(&key("2")) && !shown.stdout.contains('~'), "{} {}", shown.stdout, shown.stderr);
    assert_eq!(api.run(&run).await.rewinds, 2);
    let audit = windlass(&host.server, &["audit", "list"]).await;
    assert_eq!(audit.stdout.matches("run.rewind").count(), 2, "{}", audit.stdout);
}

#[tokio::test]
async fn what_others_have_sent_is_received_again_and_before_what_has_come_since() {
    let (database, host) = host().await;
    let api = &host.api;
    let run = api.start("collect", json!(4)).await;
    for number in 1..=3 {
        api.signal(&run, "item", json!(number)).await;
    }
    api.wait_for_events(&run, 3).await;
    api.wait_for_state(&run, RunState::Waiting).await;
    pause(api, &run).await;
    api.signal(&run, "item", json!(4)).await;
    // Twice: what was put back is put back again. Its guest is in the host's memory, and is further than the run by then.
    for rewinds in 1..=2 {
        let rewound = rewind(api, &run, 1).await;
        assert_eq!((&rewound["run"]["state"], &rewound["run"]["events"]), (&json!("paused"), &json!(1)), "{rewound}");
        let waiting = format!("SELECT count(*) FROM inbox WHERE run_id = '{run}'");
        assert_eq!((database.count(&waiting).await, places(&database, &run).await), (3, 1));
        assert_eq!(api.run(&run).await.rewinds, rewinds);
        if rewinds == 2 {
            resume(api, &run).await;
            break;
        }
        // Let it come to its events again, but not to its end.
        sql(&database, &format!("DELETE FROM inbox WHERE run_id = '{run}' AND convert_from(payload, 'UTF8') = '4'"))
            .await;
        resume(api, &run).await;
        api.wait_for_events(&run, 3).await;
        api.wait_for_state(&run, RunState::Waiting).await;
        pause(api, &run).await;
        api.signal(&run, "item", json!(4)).await;
    }
    assert_eq!(api.result(&run).await, json!([1, 2, 3, 4]));
    rewind(api, &run, 0).await;
    assert_eq!(api.result(&run).await, json!([1, 2, 3, 4]));
}

#[tokio::test]
async fn an_update_is_received_again_and_keeps_its_answer() {
    let (_database, host) = host().await;
    let api = &host.api;
    let run = api.start("counter", json!(5)).await;
    for (id, number) in [("first", 2), ("second", 3)] {
        let path = format!("/runs/{run}/updates/add?wait=20s");
        let (status, answer) = api.post_once(&path, id, &json!(number)).await;
        assert!(status.is_success(), "{answer}");
    }
    assert_eq!(api.result(&run).await, 5);
    let names = api.event_names(&run).await;
    assert_eq!(names, ["update add", "step double", "update add", "step double"]);
    rewind(api, &run, 2).await;
    assert_eq!(api.result(&run).await, 5);
    assert_eq!(api.event_names(&run).await, names);
    let (status, answer) = api.post_once(&format!("/runs/{run}/updates/add?wait=20s"), "second", &json!(3)).await;
    assert_eq!((status.as_u16(), &answer["result"]), (200, &json!(5)), "{answer}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_what_is_and_changes_nothing() {
    let (database, host) = host().await;
    let api = &host.api;
    let run = api.start("collect", json!(2)).await;
    api.signal(&run, "item", json!(1)).await;
    api.wait_for_events(&run, 1).await;
    api.wait_for_state(&run, RunState::Waiting).await;
    let refused = async |run: &str, verb: &str, before: u32, code: &str, detail: &str| {
        let body = if verb == "retry" { json!({}) } else { json!({ "before": before }) };
        let (_, problem) = post(api, &format!("/runs/{run}/{verb}"), body).await;
        assert_eq!(problem["code"], code, "{verb} {before}: {problem}");
        assert!(problem["detail"].as_str().is_some_and(|said| said.contains(detail)), "{verb} {before}: {problem}");
    };
    refused(&run, "rewind", 0, "wrong-state", "it is waiting: nothing was changed").await;
    pause(api, &run).await;
    refused(&run, "rewind", 1, "no-such-event", "its history has the events 0 to 0").await;
    refused(&run, "rewind", 7, "no-such-event", "its history has the events 0 to 0").await;
    refused("00000000-0000-0000-0000-000000000000", "rewind", 0, "no-such-run", "").await;
    let fresh = api.start("forever", Value::Null).await;
    api.wait_for_state(&fresh, RunState::Waiting).await;
    pause(api, &fresh).await;
    refused(&fresh, "rewind", 0, "no-such-event", "its history has no events").await;
    let fails = api.start("fails", Value::Null).await;
    assert_eq!(api.end(&fails).await.state, RunState::Failed);
    refused(&fails, "retry", 0, "cannot-rewind", "its last event is no failure").await;
    // One that somebody has ended may still have somebody at it, for a while; then it goes on from where it was.
    api.terminate(&run, "enough").await;
    refused(&run, "rewind", 1, "wrong-state", "try again in 15 seconds").await;
    sql(&database, "UPDATE runs SET closed_at = closed_at - interval '15 s'").await;
    refused(&run, "retry", 0, "cannot-rewind", "rewind it to before one of them, or to before 1").await;
    refused(&run, "rewind", 2, "no-such-event", "0 to 0, and 1 is the next one").await;
    assert_eq!(api.run(&run).await.state, RunState::Failed);
    assert_eq!(database.count("SELECT count(*) FROM rewinds").await, 0);
    assert_eq!(rewind(api, &run, 1).await["dropped"], 0);
    api.signal(&run, "item", json!(2)).await;
    assert_eq!(api.result(&run).await, json!([1, 2]));
}

#[tokio::test]
async fn a_run_that_was_asked_to_stop_is_not_when_that_is_dropped_and_can_be_asked_again() {
    let (_database, host) = host().await;
    let api = &host.api;
    let run = api.start("cleans_up", Value::Null).await;
    api.wait_for_state(&run, RunState::Waiting).await;
    assert_eq!(api.cancel(&run).await.status(), 200);
    assert_eq!(api.end(&run).await.state, RunState::Cancelled);
    rewind(api, &run, 0).await;
    let waiting = api.wait_for_state(&run, RunState::Waiting).await;
    assert_eq!((waiting.events, waiting.cancel_requested_at), (0, None));
    assert_eq!(api.cancel(&run).await.status(), 200);
    assert_eq!(api.end(&run).await.state, RunState::Cancelled);
    rewind(api, &run, 0).await;
    api.signal(&run, "go", json!(3)).await;
    assert_eq!(api.result(&run).await, 3);
    // One that was too late has all the time that there is.
    let late = api.start_with(json!({ "workflow": "cleans_up", "timeout": "50ms" })).await.run_id;
    assert_eq!(document(&api.end(&late).await)["code"], "deadline-exceeded");
    rewind(api, &late, 0).await;
    assert_eq!(api.wait_for_state(&late, RunState::Waiting).await.events, 0);
    api.signal(&late, "go", json!(4)).await;
    assert_eq!(api.result(&late).await, 4);
}

#[tokio::test]
async fn a_rewind_holds_whatever_its_host_dies_of_right_after_it() {
    let database = Database::new().await;
    let till = Till::open().await;
    let mut host = serve(&database).await;
    let run = host.api.start("buy", purchase(&till, 3)).await;
    host.api.result(&run).await;
    for rewinds in 1..=3 {
        rewind(&host.api, &run, 1).await;
        host.kill();
        host = serve(&database).await;
        let receipts = host.api.result(&run).await;
        let expected = ["0".to_owned(), format!("1~{rewinds}"), format!("2~{rewinds}")];
        assert_eq!(receipts, json!(expected.map(|suffix| format!("default/{run}/{suffix}"))));
    }
}

#[tokio::test]
async fn a_run_in_quarantine_is_rewound_to_before_the_event_that_its_guest_does_not_take() {
    let (database, host) = host().await;
    let api = &host.api;
    api.deploy(with(super::divergence::SCRIPT), "").await.expect("deployed");
    let run = api.start("script", Value::Null).await;
    api.signal(&run, "7", json!(1)).await;
    api.wait_for_events(&run, HISTORY).await;
    api.wait_for_state(&run, RunState::Waiting).await;
    // As if somebody had deployed over it.
    let (_, script, _) = MUTANTS.into_iter().find(|(what, ..)| *what == "another signal").expect("a mutant");
    change(&database, &run, api.deploy(with(script), "").await.expect("deployed").version).await;
    api.signal(&run, "0", json!(1)).await;
    let report = document(&api.end(&run).await);
    let seq = u32::try_from(report["divergence"]["seq"].as_u64().expect("a number")).expect("a small one");
    let (status, problem) = post(api, &format!("/runs/{run}/rewind"), json!({ "before": seq + 1 })).await;
    assert_eq!((status, &problem["code"]), (409, &json!("cannot-rewind")), "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|said| said.contains(&format!("does not take event {seq}"))));
    rewind(api, &run, seq).await;
    for signal in ["9", "0"] {
        api.signal(&run, signal, json!(1)).await;
    }
    assert_eq!(api.result(&run).await, "done");
}

/// Every kind of call but a child that there is.
const EVERYTHING: &str = "s1s2;t3g7;s4m6;c5;u8;s9";

#[tokio::test]
async fn from_before_each_of_its_events_a_run_comes_to_the_same_end_and_its_history_replays() {
    let (_database, host) = host().await;
    let api = &host.api;
    api.deploy(with(EVERYTHING), "").await.expect("deployed");
    let file = std::env::temp_dir().join(format!("windlass-rewind-{}.wasm", std::process::id()));
    std::fs::write(&file, with(EVERYTHING)).expect("written");
    for durability in ["output", "strict"] {
        let run = api.start_with(json!({ "workflow": "script", "durability": durability })).await.run_id;
        api.signal(&run, "7", json!(1)).await;
        let (status, update) = api.post_once(&format!("/runs/{run}/updates/8"), durability, &json!(1)).await;
        assert!(status.is_success(), "{update}");
        assert_eq!(api.result(&run).await, "done");
        let sorted = async || {
            let mut names = api.event_names(&run).await;
            names.sort();
            names
        };
        let names = sorted().await;
        for before in 0..=u32::try_from(names.len()).expect("few") {
            let rewound = rewind(api, &run, before).await;
            assert_eq!(rewound["dropped"], names.len() as u64 - u64::from(before));
            assert_eq!(api.result(&run).await, "done", "{durability}, before {before}");
            assert_eq!(sorted().await, names, "{durability}, before {before}");
            let replayed = windlass(&host.server, &["replay", &run, "--against", file.to_str().expect("a path")]).await;
            assert_eq!(replayed.code, Some(0), "{durability}, before {before}: {}", replayed.stdout);
        }
    }
    std::fs::remove_file(file).expect("removed");
}

#[tokio::test]
async fn a_run_that_was_rewound_is_moved_to_another_version_before_it_goes_on() {
    let (_database, host) = host().await;
    let api = &host.api;
    let version = api.deploy(with("s1;s2"), "").await.expect("deployed").version;
    let run = api.start("script", Value::Null).await;
    api.result(&run).await;
    let next = api.deploy(with("s1;r3s4"), "").await.expect("deployed").version;
    let rewound = windlass(&host.server, &["rewind", &run, "--before", "1", "--pause"]).await;
    assert!(rewound.stdout.contains("paused: 1 events"), "{} {}", rewound.stdout, rewound.stderr);
    // The step that is to be made next is another one by then.
    let (_, moved) = post(api, &format!("/runs/{run}/migrate"), json!({ "version": next })).await;
    assert_eq!(moved["survives"], false, "{moved}");
    rewind(api, &run, 0).await;
    assert_eq!(done(api, &format!("/runs/{run}/migrate"), json!({ "version": next })).await["migrated"], true);
    resume(api, &run).await;
    assert_eq!(api.result(&run).await, "done");
    assert_eq!((api.event_names(&run).await.len(), api.run(&run).await.version), (3, next));
    assert_ne!(version, next);
}

#[tokio::test]
async fn lines_of_what_was_dropped_stay_and_those_that_come_are_kept_as_well() {
    let (_database, host) = host().await;
    let api = &host.api;
    let run = api.start("chatty", json!(1)).await;
    api.result(&run).await;
    let lines = api.logs(&run).await;
    assert_eq!(lines, ["before", "printed", "after", "complained"]);
    rewind(api, &run, 0).await;
    api.result(&run).await;
    assert_eq!(api.logs(&run).await, [&lines[..], &lines[2..]].concat());
    let flaky = api.start("flaky", json!(2)).await;
    api.result(&flaky).await;
    rewind(api, &flaky, 0).await;
    assert_eq!(api.result(&flaky).await, 3, "from the first attempt on");
    assert_eq!(api.logs(&flaky).await.len(), 6);
}

/// Rewind a run to its beginning, if it is over, and hold it there. On a thread of its own: whoever asks cannot wait otherwise.
fn rewind_if_over(database: Database, run: String) -> bool {
    let statement = format!(
        "SELECT coalesce(sum(w.rewind), 0) FROM runs r CROSS JOIN LATERAL rewind_run('default', '{run}', 0, 1, 0, NULL, \
         '{{\"branches\":[]}}', 0, 0, '{{}}', '{{}}', '{{}}', '{{}}', true, 'run.rewind', 'dev') w \
         WHERE r.run_id = '{run}' AND r.state = 1"
    );
    let rewind = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async { database.count(&statement).await == 1 })
    };
    std::thread::spawn(rewind).join().expect("no panic")
}

#[tokio::test]
async fn a_commit_that_is_sent_again_brings_nothing_back_that_was_dropped_since() {
    let database = Database::new().await;
    let proxy = Proxy::open(&database).await;
    let host = HostProcess::serve(&proxy.database, &["--park-after", "60s"]).await;
    let api = &host.api;
    api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let run = api.start("collect", json!(1)).await;
    api.wait_for_state(&run, RunState::Running).await;
    // Its host does not hear that its end was committed, and sends it again. The first is the signal; the event and the end may be one
    // commit or two, and then the first of them is sent again, too.
    let was_over = Arc::new(AtomicBool::new(false));
    let arm = || {
        let (was_over, database, run) = (was_over.clone(), database.clone(), run.clone());
        let rewind = move || was_over.store(rewind_if_over(database, run), Ordering::Release);
        proxy.at_commit(2, Moment::After, rewind);
    };
    arm();
    api.signal(&run, "item", json!(1)).await;
    while !was_over.load(Ordering::Acquire) {
        eventually("another commit", async || proxy.is_done().then_some(())).await;
        if !was_over.load(Ordering::Acquire) {
            arm();
        }
    }
    // What it receives this time is something else.
    sql(&database, &format!("UPDATE inbox SET payload = '7' WHERE run_id = '{run}'")).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let view = api.run(&run).await;
    assert_eq!((view.state, view.events, view.rewinds), (RunState::Paused, 0, 0));
    resume(api, &run).await;
    assert_eq!(api.result(&run).await, json!([7]));
}
