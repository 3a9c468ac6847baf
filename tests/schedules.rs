//! Schedules: what operators ask for. `schedules/` has what becomes of their ticks.

mod kills;
mod overlap;
mod ticks;

use base64::Engine as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::api::{Backfilled, Problem, ScheduleView, Triggered};
use windlass_host::model::{RunState, Timestamp, run_of_tick};

use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, windlass};
use crate::harness::shared::shared;
use crate::harness::tenants::tenants;

/// A namespace of one's own on the shared host.
async fn namespace(name: &str, limits: Value) -> Api {
    let api = shared().await.api.in_namespace(name);
    let made = api.request(Method::PUT, "", json!({ "limits": limits }).to_string()).await;
    assert!(made.status().is_success());
    api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    api
}

async fn put(api: &Api, name: &str, body: Value) -> Result<ScheduleView, Problem> {
    let response = api.request(Method::PUT, &format!("/schedules/{name}"), body.to_string()).await;
    if response.status().is_success() {
        return Ok(response.json().await.expect("a schedule"));
    }
    Err(response.json().await.expect("a problem"))
}

async fn get(api: &Api, name: &str) -> ScheduleView {
    serde_json::from_value(api.get(&format!("/schedules/{name}")).await).expect("a schedule")
}

async fn post(api: &Api, name: &str, what: &str, body: Value) -> reqwest::Response {
    api.request(Method::POST, &format!("/schedules/{name}/{what}"), body.to_string()).await
}

async fn delete(api: &Api, name: &str) -> StatusCode {
    api.request(Method::DELETE, &format!("/schedules/{name}"), "").await.status()
}

async fn backfill(api: &Api, name: &str, from: &str, to: &str) -> Result<Backfilled, Problem> {
    let response = post(api, name, "backfill", json!({ "from": from, "to": to })).await;
    if response.status().is_success() {
        return Ok(response.json().await.expect("an answer"));
    }
    Err(response.json().await.expect("a problem"))
}

/// When nobody waits for it.
const FAR_AWAY: &str = "0 0 1 1 *";

#[tokio::test]
async fn a_schedule_is_made_changed_listed_and_forgotten() {
    let api = namespace("schedules-made", json!({})).await;
    let spec = json!({ "cron": "0 9 * * 1-5", "time_zone": "Europe/Berlin" });
    let body = json!({ "workflow": "steps", "input": 3, "spec": spec, "jitter": "30s", "timeout": "2h", "overlap": "buffer-one" });
    let made = api.request(Method::PUT, "/schedules/a%2Freport", body.to_string()).await;
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: ScheduleView = made.json().await.expect("a schedule");
    assert_eq!(serde_json::to_value(&made.spec).expect("JSON"), spec);
    assert_eq!(made.next_ticks.len(), 5);
    assert!(made.next_ticks.is_sorted());
    // Put again, it is as it was.
    let again = api.request(Method::PUT, "/schedules/a%2Freport", body.to_string()).await;
    assert_eq!(again.status(), StatusCode::OK);
    let again: ScheduleView = again.json().await.expect("a schedule");
    assert_eq!((again.updated_at, &again.next_ticks), (made.updated_at, &made.next_ticks));
    let changed = json!({ "workflow": "steps", "input": 4, "spec": { "every": "1d" } });
    let changed = put(&api, "a%2Freport", changed).await.expect("changed");
    assert!(changed.updated_at > made.updated_at && changed.next_ticks != made.next_ticks);
    assert_eq!(changed.input.map(|input| input.as_str().to_owned()).as_deref(), Some("4"));
    put(&api, "b", json!({ "workflow": "steps", "spec": { "every": "1h" } })).await.expect("made");
    let first = api.get("/schedules?limit=1").await;
    assert_eq!((&first["schedules"][0]["schedule"], &first["next"]), (&json!("a/report"), &json!("a/report")));
    let second = api.get("/schedules?limit=1&cursor=a%2Freport").await;
    assert_eq!((&second["schedules"][0]["schedule"], &second["next"]), (&json!("b"), &Value::Null));
    assert_eq!(delete(&api, "b").await, StatusCode::NO_CONTENT);
    assert_eq!(delete(&api, "b").await, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/schedules").await["schedules"].as_array().map(Vec::len), Some(1));
    let audit = api.get("/audit").await;
    let what: Vec<_> =
        audit["entries"].as_array().expect("entries").iter().skip(1).map(|entry| &entry["what"]).collect();
    assert_eq!(what, ["schedule.create", "schedule.change", "schedule.create", "schedule.delete"]);
}

#[tokio::test]
async fn a_schedule_that_cannot_be_is_refused_with_what_is_wrong() {
    let api = namespace("schedules-refused", json!({ "schedules": 1 })).await;
    for (body, code, what) in [
        (json!({ "spec": { "cron": "0 25 * * *" } }), "invalid-schedule", "is no cron pattern"),
        (
            json!({ "spec": { "cron": "0 9 * * *", "time_zone": "Berlin" } }),
            "invalid-schedule",
            "`Berlin` is no time zone",
        ),
        (json!({ "spec": { "cron": "0 0 30 2 *" } }), "invalid-schedule", "it would never tick"),
        (json!({ "spec": { "at": "2020-01-01T00:00:00Z" } }), "invalid-schedule", "it would never tick"),
        (json!({ "spec": { "every": "10ms" } }), "invalid-schedule", "once a second at most"),
        (json!({ "spec": { "every": "1h", "at": "2040-01-01T00:00:00Z" } }), "invalid-schedule", "one of"),
        (json!({ "spec": {} }), "invalid-schedule", "one of"),
        (json!({ "spec": { "every": "1h" }, "jitter": "1h" }), "invalid-schedule", "which is 1h"),
        (json!({ "spec": { "every": "1h" }, "catch_up": "1s" }), "invalid-schedule", "from 10s"),
        (json!({ "spec": { "every": "1h" }, "overlap": "wait" }), "bad-request", "overlap"),
        (json!({ "spec": { "every": "1h" }, "workflow": "nobody-has-it" }), "no-such-workflow", "nobody-has-it"),
    ] {
        let mut whole = json!({ "workflow": "steps" });
        whole.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
        let problem = put(&api, "s", whole).await.expect_err(what);
        assert!(problem.code == code && problem.detail.contains(what), "{body}: {problem:?}");
    }
    put(&api, "s", json!({ "workflow": "steps", "spec": { "cron": FAR_AWAY } })).await.expect("made");
    let problem =
        put(&api, "t", json!({ "workflow": "steps", "spec": { "cron": FAR_AWAY } })).await.expect_err("one too many");
    assert_eq!((problem.status, &*problem.code), (409, "too-many-schedules"));
    // One that is there can still be changed.
    put(&api, "s", json!({ "workflow": "steps", "spec": { "every": "1d" } })).await.expect("changed");
}

#[tokio::test]
async fn a_schedule_that_is_paused_starts_nothing_and_goes_on_with_the_next_tick() {
    let api = namespace("schedules-paused", json!({})).await;
    put(&api, "s", json!({ "workflow": "steps", "input": 1, "spec": { "every": "1s" }, "overlap": "allow" }))
        .await
        .expect("made");
    eventually("it ticks", async || (get(&api, "s").await.started > 0).then_some(())).await;
    let refused = async |verb: &str| {
        let problem: Problem = post(&api, "s", verb, json!({})).await.json().await.expect("a problem");
        assert_eq!((problem.status, &*problem.code), (409, "wrong-state"));
        problem.detail
    };
    assert_eq!(refused("resume").await, "it is not paused: nothing was changed");
    assert!(post(&api, "s", "pause", json!({})).await.status().is_success());
    assert_eq!(refused("pause").await, "it is paused: nothing was changed");
    let paused = get(&api, "s").await;
    assert!(paused.paused_at.is_some() && paused.next_ticks.len() == 5);
    // To put it again is not to resume it.
    put(&api, "s", json!({ "workflow": "steps", "input": 2, "spec": { "every": "1s" }, "overlap": "allow" }))
        .await
        .expect("changed");
    tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
    assert_eq!(get(&api, "s").await.started, paused.started);
    // Somebody who asks for a run gets one all the same.
    let triggered = post(&api, "s", "trigger", json!({})).await;
    assert_eq!(triggered.status(), StatusCode::CREATED);
    let triggered: Triggered = triggered.json().await.expect("a run");
    assert_eq!(api.result(&triggered.run_id).await, json!(2));
    let key = api.run(&triggered.run_id).await.idempotency_key.expect("a key");
    assert!(key.starts_with("schedule/s/"), "{key}");
    let before_resume = get(&api, "s").await;
    assert_eq!(before_resume.last_ticks[0].run_id.as_ref(), Some(&triggered.run_id));
    assert!(post(&api, "s", "resume", json!({})).await.status().is_success());
    eventually("it ticks again", async || (get(&api, "s").await.started > paused.started).then_some(())).await;
    let resumed = get(&api, "s").await;
    assert_eq!((resumed.missed, resumed.skipped), (0, 0), "what was not started while it was paused was not missed");
    let first = resumed
        .last_ticks
        .iter()
        .rfind(|tick| tick.outcome == "started" && tick.tick > before_resume.last_ticks[0].tick);
    assert!(first.is_some_and(|first| first.tick > paused.paused_at.expect("paused")));
    assert_eq!(delete(&api, "s").await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_backfill_starts_each_tick_of_a_range_that_has_no_run_and_asking_again_starts_none() {
    let api = namespace("schedules-backfilled", json!({})).await;
    let spec = json!({ "cron": "30 2 * * *", "time_zone": "Europe/Berlin" });
    put(&api, "s", json!({ "workflow": "steps", "input": 2, "spec": spec })).await.expect("made");
    // Somebody has started one of the ticks before.
    let berlin_summer: Timestamp = serde_json::from_value(json!("2026-03-29T01:00:00Z")).expect("a time");
    let (key, run_id) = run_of_tick("schedules-backfilled", "s", berlin_summer);
    let (status, _) = api.post_once("/runs", &key, &json!({ "workflow": "steps", "input": 2 })).await;
    assert_eq!(status, StatusCode::CREATED);
    // 28 March to 1 April: on the 29th there is no 02:30.
    let (from, to) = ("2026-03-28T01:30:00Z", "2026-04-01T00:30:00Z");
    let filled = backfill(&api, "s", from, to).await.expect("backfilled");
    assert_eq!((filled.ticks, filled.started), (5, 4));
    let again = backfill(&api, "s", from, to).await.expect("backfilled");
    assert_eq!((again.ticks, again.started), (5, 0));
    assert_eq!(api.result(&run_id.to_string()).await, json!(2));
    for tick in ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z", "2026-04-01T00:30:00Z"] {
        let tick: Timestamp = serde_json::from_value(json!(tick)).expect("a time");
        assert_eq!(api.result(&run_of_tick("schedules-backfilled", "s", tick).1.to_string()).await, json!(2));
    }
    assert_eq!(api.get("/runs").await["runs"].as_array().map(Vec::len), Some(5));
    let view = get(&api, "s").await;
    assert_eq!((&*view.last_ticks[0].outcome, view.last_ticks[0].count, view.started), ("backfilled", 4, 0));

    let refused = |from, to| backfill(&api, "s", from, to);
    assert_eq!(
        refused("2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z").await.expect_err("2,000").code,
        "too-many-ticks"
    );
    assert_eq!(
        refused("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z").await.expect_err("backwards").code,
        "bad-request"
    );
    assert_eq!(
        refused("2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z").await.expect_err("too late").code,
        "bad-request"
    );
    assert_eq!(backfill(&api, "nobody", from, to).await.expect_err("none").code, "no-such-schedule");
    assert_eq!(backfill(&api, "s", "1970-01-01T00:00:00Z", "1970-01-01T12:00:00Z").await.expect("backfilled").ticks, 1);
}

#[tokio::test]
async fn what_a_tenant_does_with_a_schedule_is_nothing_to_the_schedule_of_that_name_of_another() {
    let tenants = tenants().await;
    let (own, other) = (tenants.namespace().await, tenants.namespace().await);
    let (api, victim) = (tenants.api(&own).await, tenants.api(&other).await);
    for api in [&api, &victim] {
        api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    }
    put(&victim, "s", json!({ "workflow": "steps", "input": 1, "spec": { "cron": FAR_AWAY } })).await.expect("made");
    let before = victim.get("/schedules/s").await;
    let wants = [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::POST, "/pause"),
        (Method::POST, "/resume"),
        (Method::POST, "/trigger"),
    ];
    for (method, what) in wants {
        let answer = api.request(method, &format!("/schedules/s{what}"), "").await;
        let problem: Problem = answer.json().await.expect("a problem");
        assert_eq!(problem.code, "no-such-schedule", "{what}");
    }
    let range = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
    assert_eq!(backfill(&api, "s", range.0, range.1).await.expect_err("none").code, "no-such-schedule");
    assert_eq!(api.get("/schedules").await["schedules"], json!([]));
    // Its own of that name, and a run of the same tick, are others.
    put(&api, "s", json!({ "workflow": "steps", "input": 5, "spec": { "cron": FAR_AWAY } })).await.expect("made");
    assert_eq!(backfill(&api, "s", range.0, range.1).await.expect("backfilled").started, 1);
    assert_eq!(victim.get("/schedules/s").await, before);
    assert_eq!(backfill(&victim, "s", range.0, range.1).await.expect("backfilled").started, 1);
    assert_eq!(delete(&api, "s").await, StatusCode::NO_CONTENT);
    assert_eq!(victim.get("/schedules/s").await["input"], json!(1));
}

#[tokio::test]
async fn the_input_of_a_schedule_is_sealed_like_any_other_payload() {
    const WORD: &str = "canary-7c21e09d55-scheduled";
    let database = Database::new().await;
    let mut command = std::process::Command::new(crate::harness::host::WINDLASS);
    command.args(["serve", "--insecure-no-auth", "--database-url", &database.url, "--schema", &database.schema]);
    command.env("WINDLASS_MASTER_KEY", base64::engine::general_purpose::STANDARD.encode([6; 32]));
    let host = HostProcess::start(command).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let sealed = windlass(&host.server, &["namespace", "set", "default", "--seal-payloads", "true"]).await;
    assert_eq!(sealed.code, Some(0), "{}", sealed.stderr);
    let body = json!({ "workflow": "repeats", "input": WORD, "spec": { "every": "1s" }, "overlap": "allow" });
    let made = put(&host.api, "s", body.clone()).await.expect("made");
    // It is compared by what was sealed.
    assert_eq!(put(&host.api, "s", body).await.expect("as it was").updated_at, made.updated_at);
    let run = eventually("it has ticked", async || get(&host.api, "s").await.last_ticks.first()?.run_id.clone()).await;
    assert_eq!(host.api.result(&run).await, json!(WORD));
    assert_eq!(get(&host.api, "s").await.input.map(|input| input.as_str().to_owned()), Some(format!("\"{WORD}\"")));
    let rows = database.everything().await;
    assert!(rows.contains("schedule/s/") && !rows.contains(WORD));
}

#[tokio::test]
async fn the_runs_of_a_schedule_have_its_tags_its_priority_and_its_concurrency_key() {
    let api = namespace("schedules-tagged", json!({})).await;
    let mut body = json!({
        "workflow": "steps", "input": 1, "spec": { "cron": FAR_AWAY },
        "tags": { "of": "year", "by": "clock" }, "priority": 1, "concurrency_key": "books",
    });
    let made = put(&api, "yearly", body.clone()).await.expect("made");
    assert_eq!((made.tags.written().count(), made.concurrency_key.as_deref()), (2, Some("books")));
    let triggered: Triggered = post(&api, "yearly", "trigger", Value::Null).await.json().await.expect("an id");
    backfill(&api, "yearly", "2025-01-01T00:00:00Z", "2025-01-01T00:00:00Z").await.expect("filled");
    let found = api.get("/runs?tags=of=year,by=clock").await;
    let runs = found["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2, "{found}");
    for run in runs {
        let run = api.end(run["run_id"].as_str().expect("an id")).await;
        let run = serde_json::to_value(run).expect("JSON");
        assert_eq!((&run["priority"], &run["concurrency_key"]), (&json!(1), &json!("books")), "{run}");
    }
    // Changed, it changes no run that is there; and put again as it is, it says nothing new.
    body["tags"] = json!({ "of": "later" });
    let changed = put(&api, "yearly", body.clone()).await.expect("changed");
    assert_eq!(put(&api, "yearly", body.clone()).await.expect("as it was").updated_at, changed.updated_at);
    let later: Triggered = post(&api, "yearly", "trigger", Value::Null).await.json().await.expect("an id");
    assert_eq!(api.get("/runs?tags=of=later").await["runs"][0]["run_id"], json!(later.run_id));
    let first = serde_json::to_value(api.run(&triggered.run_id).await).expect("JSON");
    assert_eq!(first["tags"], json!({ "of": "year", "by": "clock" }));
    body["concurrency_key"] = json!("");
    let refused = put(&api, "yearly", body).await.expect_err("no key");
    assert!(refused.detail.contains("1 to 255 bytes"), "{}", refused.detail);
}

#[tokio::test]
async fn a_schedule_as_a_person_types_it() {
    let api = namespace("schedules-typed", json!({})).await;
    let server = shared().await.server;
    let ran = async |arguments: &[&str]| {
        let ran = windlass(&server, &[&["-n", "schedules-typed", "schedule"], arguments].concat()).await;
        format!("exit code {}\n{}{}", ran.code.unwrap_or(-1), ran.stdout, ran.stderr)
    };
    let options =
        ["--cron", "30 8 1 1 *", "--time-zone", "Europe/Berlin", "--jitter", "5m", "--input", "2", "--tag", "of=year"];
    let put = ran(&[&["put", "yearly", "steps"], &options[..]].concat()).await;
    let listed = ran(&["list"]).await;
    let filled = ran(&["backfill", "yearly", "2025-01-01T07:30:00Z", "2025-01-01T07:30:00Z"]).await;
    let got = ran(&["get", "yearly"]).await;
    let paused = ran(&["pause", "yearly"]).await;
    let refused = ran(&["put", "never", "steps", "--cron", "0 0 31 6 *"]).await;
    let run = ran(&["trigger", "yearly"]).await;
    let deleted = ran(&["delete", "yearly"]).await;
    let run = run.lines().nth(1).expect("an id").to_owned();
    assert_eq!(api.result(&run).await, json!(2));
    assert_eq!(api.run(&run).await.state, RunState::Completed);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d\d\d", "[TIME]");
    settings.add_filter(r"[ \t]+\n", "\n");
    settings.bind(|| {
        insta::assert_snapshot!([put, listed, filled, got, paused, refused, deleted].join("\n"));
    });
}
