//! Versions: which one new runs take, and moving runs from one to another.

use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::RunState;

use super::divergence::{HISTORY, MUTANTS, SAME, SCRIPT, change, with};
use crate::harness::api::{Api, document};
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, windlass};

async fn ask(api: &Api, method: Method, path: &str, body: Value) -> (u16, Value) {
    let response = api.request(method, path, body.to_string()).await;
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

async fn migrate(api: &Api, run: &str, version: u32, dry_run: bool) -> Value {
    let body = json!({ "version": version, "dry_run": dry_run });
    let (status, body) = ask(api, Method::POST, &format!("/runs/{run}/migrate"), body).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn deploy(api: &Api, script: &str) -> u32 {
    api.deploy(with(script), "127.0.0.1:*").await.expect("deployed").version
}

/// A host that keeps guests in memory, and `count` runs that wait for their signal. It is a process of its own: each host reserves
/// a part of the addresses that a process has.
async fn waiting(count: usize) -> (Database, HostProcess, Vec<String>) {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &["--park-after", "1ms"]).await;
    deploy(&host.api, SCRIPT).await;
    let mut runs = Vec::new();
    for _ in 0..count {
        runs.push(host.api.start("script", Value::Null).await);
    }
    for run in &runs {
        host.api.signal(run, "7", json!(1)).await;
        host.api.wait_for_events(run, HISTORY).await;
        host.api.wait_for_state(run, RunState::Waiting).await;
    }
    (database, host, runs)
}

#[tokio::test]
async fn a_run_stays_on_its_version_if_it_would_not_survive_another_and_is_told_where_it_would_differ() {
    let (_database, host, runs) = waiting(MUTANTS.len()).await;
    let api = &host.api;
    for (run, (what, script, call)) in runs.iter().zip(MUTANTS) {
        let version = deploy(api, script).await;
        let migrated = migrate(api, run, version, false).await;
        assert_eq!(
            (&migrated["survives"], &migrated["migrated"]),
            (&json!(false), &json!(false)),
            "{what}: {migrated}"
        );
        let expected = migrated["divergence"]["expected"]["call"].as_u64();
        assert!(expected >= Some(u64::from(call)), "{what}: {migrated}");
        let run_view = api.run(run).await;
        assert_eq!((run_view.version, run_view.state), (1, RunState::Waiting), "{what}");
        api.signal(run, "0", json!(1)).await;
        assert_eq!(api.result(run).await, "done", "{what}");
    }
}

#[tokio::test]
async fn a_run_that_would_survive_another_version_is_moved_to_it_and_goes_on_with_its_code() {
    let (_database, host, runs) = waiting(SAME.len()).await;
    let api = &host.api;
    for (run, (script, later)) in runs.iter().zip(SAME.into_iter().zip([0, 1, 3])) {
        let version = deploy(api, &format!("{script};s7")).await;
        let dry = migrate(api, run, version, true).await;
        assert_eq!((&dry["survives"], &dry["migrated"]), (&json!(true), &json!(false)), "{script}: {dry}");
        assert_eq!(api.run(run).await.version, 1, "{script}: only asked");
        let migrated = migrate(api, run, version, false).await;
        assert_eq!(
            (&migrated["migrated"], &migrated["events"]),
            (&json!(true), &json!(HISTORY)),
            "{script}: {migrated}"
        );
        assert_eq!(migrate(api, run, version, false).await["migrated"], false, "it is there already");
        api.signal(run, "0", json!(1)).await;
        assert_eq!(api.result(run).await, "done", "{script}");
        // The signal, and what only the new version does after it.
        assert_eq!(api.run(run).await.events, HISTORY + 1 + later + 1, "{script}");
    }
}

#[tokio::test]
async fn a_guest_that_stayed_in_memory_is_not_used_for_another_version() {
    let (_database, host, runs) = waiting(1).await;
    let run = &runs[0];
    let version = deploy(&host.api, &format!("{SCRIPT};s7s7s7")).await;
    assert_eq!(migrate(&host.api, run, version, false).await["migrated"], true);
    host.api.signal(run, "0", json!(1)).await;
    assert_eq!(host.api.result(run).await, "done");
    assert_eq!(host.api.run(run).await.events, HISTORY + 4);
}

#[tokio::test]
async fn a_run_that_a_bad_version_has_quarantined_goes_on_with_a_good_one() {
    let (database, host, runs) = waiting(1).await;
    let run = &runs[0];
    let bad = deploy(&host.api, MUTANTS[0].1).await;
    change(&database, run, bad).await;
    host.api.signal(run, "0", json!(1)).await;
    assert_eq!(document(&host.api.end(run).await)["code"], "divergence");
    assert_eq!(
        migrate(&host.api, run, 1, false).await["migrated"],
        true,
        "also where the version it is on does not take it"
    );
    let (status, body) = ask(&host.api, Method::POST, &format!("/runs/{run}/retry"), json!({})).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(host.api.result(run).await, "done");
}

#[tokio::test]
async fn only_so_many_runs_are_tried_at_once_and_who_comes_beyond_is_told_to_come_again() {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let run = host.api.start("steps", json!(300)).await;
    host.api.result(&run).await;
    // The same, and a section that says nothing.
    let other = [&guest_bytes("probe")[..], &[0, 5, 4], b"note"].concat();
    let version = host.api.deploy(other, "").await.expect("deployed").version;
    let body = json!({ "version": version, "dry_run": true });
    let path = format!("/runs/{run}/migrate");
    let asked = (0..300).map(|_| ask(&host.api, Method::POST, &path, body.clone()));
    let answers = futures_util::future::join_all(asked).await;
    let (tried, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| *status == 200);
    assert!(tried.iter().all(|(_, trial)| trial["survives"] == true));
    assert!(refused.iter().all(|(status, problem)| *status == 503 && problem["code"] == "unavailable"), "{refused:?}");
    assert!(tried.len() >= 66 && !refused.is_empty(), "{} were tried, {} refused", tried.len(), refused.len());
}

/// Version, whether new runs take it, whether it is pinned, whether it is deprecated, and how many runs need it.
fn listed(versions: &Value) -> Vec<(u64, bool, bool, bool, u64)> {
    let is = |version: &Value, what: &str| version[what].as_bool().expect("a flag");
    let version = |version: &Value| {
        let number = |what: &str| version[what].as_u64().expect("a number");
        let is_deprecated = !version["deprecated_at"].is_null();
        (number("version"), is(version, "is_current"), is(version, "is_pinned"), is_deprecated, number("live"))
    };
    versions["versions"].as_array().expect("versions").iter().map(version).collect()
}

#[tokio::test]
async fn new_runs_are_rolled_back_and_pinned_and_a_version_stays_as_long_as_a_run_needs_it() {
    let (database, host, _runs) = waiting(2).await;
    let api = &host.api;
    let post = async |path: &str, body: Value| {
        ask(api, Method::POST, &format!("/components/script/versions/{path}"), body).await
    };
    let delete = async |version: u32| {
        ask(api, Method::DELETE, &format!("/components/script/versions/{version}"), json!({})).await
    };
    assert_eq!(deploy(api, "s1;g0").await, 2);
    // It could be tried again, and would need the second.
    api.terminate(&api.start("script", Value::Null).await, "to have failed").await;
    assert_eq!(
        listed(&api.get("/components/script/versions").await),
        [(2, true, false, false, 0), (1, false, false, false, 2)]
    );
    // Back to the first, and to stay there.
    let (_, versions) = post("1/use", json!({ "pin": true })).await;
    assert_eq!(listed(&versions), [(2, false, false, false, 0), (1, true, true, false, 2)]);
    assert_eq!(deploy(api, "s2").await, 3);
    assert_eq!(api.start_with(json!({ "workflow": "script", "input": null })).await.version, 1);
    let (_, versions) = post("3/use", json!({})).await;
    assert_eq!(listed(&versions)[0], (3, true, false, false, 0));
    assert_eq!(api.start_with(json!({ "workflow": "script", "input": null })).await.version, 3);
    // What is in the way of each.
    let detail = |(status, problem): (u16, Value)| {
        assert_eq!((status, &problem["code"]), (409, &json!("wrong-state")), "{problem}");
        problem["detail"].as_str().expect("a text").to_owned()
    };
    assert!(detail(post("3/deprecate", json!({})).await).contains("the one that new runs take"));
    assert!(detail(delete(3).await).contains("the one that new runs take"));
    assert!(detail(delete(1).await).contains("until less than a minute ago"));
    let long_ago = "WITH changed AS (UPDATE versions SET replaced_at = replaced_at - interval '2 minutes' RETURNING 1) \
                    SELECT count(*) FROM changed WHERE true";
    database.count(long_ago).await;
    assert!(detail(delete(1).await).contains("needed by 3 runs"), "two that wait, and the one that was started");
    assert_eq!(post("2/deprecate", json!({})).await.0, 200);
    assert!(detail(post("2/use", json!({})).await).contains("deprecated"));
    assert_eq!(post("2/undeprecate", json!({})).await.0, 200);
    let refused = detail(delete(2).await);
    assert!(refused.contains("needed by 1 runs that have failed") && refused.contains("forget_failed"), "{refused}");
    let forget = "/components/script/versions/2?forget_failed=true";
    let (status, versions) = ask(api, Method::DELETE, forget, json!({})).await;
    assert_eq!(status, 200, "{versions}");
    assert_eq!(listed(&versions).iter().map(|version| version.0).collect::<Vec<_>>(), [3, 1]);
    assert_eq!(database.count("SELECT count(*) FROM components").await, 2, "its bytes are gone as well");
    for (status, problem) in [delete(2).await, post("2/use", json!({})).await] {
        assert_eq!((status, &problem["code"]), (404, &json!("no-such-version")));
    }
}

#[tokio::test]
async fn the_command_line_says_of_all_runs_which_would_survive_and_moves_those_that_do() {
    let (database, host, runs) = waiting(1).await;
    let run = &runs[0];
    let folder = tempfolder();
    let file = |name: &str, script: &str| {
        let path = folder.join(name);
        std::fs::write(&path, with(script)).expect("written");
        path.display().to_string()
    };
    let (good, bad) = (file("good.wasm", SAME[1]), file("bad.wasm", MUTANTS[8].1));
    let one = windlass(&host.server, &["replay", run, "--against", &good]).await;
    assert_eq!((one.code, one.stdout.trim()), (Some(0), "8 events, waiting"), "{}", one.stderr);
    // A second run, which has not come to what the bad version does otherwise.
    let behind = host.api.start("script", Value::Null).await;
    host.api.wait_for_events(&behind, HISTORY - 2).await;
    host.api.wait_for_state(&behind, RunState::Waiting).await;
    let all = windlass(&host.server, &["replay", "--all", "--against", &bad]).await;
    assert_eq!(all.code, Some(1), "{}", all.stderr);
    assert!(all.stdout.contains("answers call 6, the signal `7`, which this time is the signal `9`"), "{}", all.stdout);
    assert!(all.stdout.contains("1 runs would survive, 1 would not"), "{}", all.stdout);
    let version = deploy(&host.api, SAME[1]).await.to_string();
    let dry = windlass(&host.server, &["migrate", "--all", "script", "--to", &version, "--dry-run"]).await;
    assert!(dry.stdout.contains("2 survive, 0 of them were moved; 0 stay"), "{} {}", dry.stdout, dry.stderr);
    let moved = windlass(&host.server, &["migrate", run, "--to", &version]).await;
    assert_eq!(moved.code, Some(0), "{}", moved.stderr);
    assert!(moved.stdout.contains("moved from version 1 to 2 (8 events)"), "{}", moved.stdout);
    let listed = windlass(&host.server, &["versions", "list", "script"]).await;
    assert!(listed.stdout.contains("new runs take it"), "{}", listed.stdout);
    let bad_version = deploy(&host.api, MUTANTS[8].1).await.to_string();
    let mixed = windlass(&host.server, &["migrate", "--all", "script", "--to", &bad_version]).await;
    assert!(mixed.stdout.contains("1 survive, 1 of them were moved; 1 stay"), "{} {}", mixed.stdout, mixed.stderr);
    assert_eq!((host.api.run(run).await.version, host.api.run(&behind).await.version), (2, 3));
    // What is under way has to be the same call.
    let change = format!(
        "WITH changed AS (UPDATE parked SET open_calls = '[{{\"call\":8,\"kind\":\"step\",\"name\":\"s\"}}]'::bytea \
         WHERE run_id = '{run}' RETURNING 1) SELECT count(*) FROM changed"
    );
    assert_eq!(database.count(&change).await, 1);
    let other = windlass(&host.server, &["replay", run, "--against", &good]).await;
    let told = "8 events, diverged: call 8, the step `s`, is under way, and is the signal `0` in this version";
    assert_eq!((other.code, other.stdout.trim()), (Some(1), told), "{}", other.stderr);
    std::fs::remove_dir_all(folder).expect("removed");
}

fn tempfolder() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("windlass-versions-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir(&folder).expect("a folder");
    folder
}
