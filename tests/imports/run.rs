//! `windlass:workflow/run`, and what a workflow does not see.

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::{Api, document, http};
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, windlass};
use crate::harness::proxy::{Moment, Proxy};
use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn a_workflow_knows_its_run_and_nothing_of_the_machine() {
    let api = &shared().await.api;
    let run = api.start("worlds", json!(0)).await;
    let world = &api.result(&run).await[0];
    assert_eq!((&world["run_id"], &world["version"]), (&json!(run), &json!(1)));
    assert_eq!((&world["variables"], &world["files"]), (&json!(0), &json!(false)));
}

/// How many runs have all of these tags.
async fn tagged(api: &Api, tags: &str) -> u64 {
    api.get(&format!("/runs/count?tags={tags}")).await["runs"].as_u64().expect("a number")
}

#[tokio::test]
async fn a_run_is_found_by_the_tags_that_its_workflow_sets_and_the_last_value_wins() {
    for (host, mine) in [(shared().await, "mine=shared"), (forgetful().await, "mine=forgetful")] {
        let api = &host.api;
        // As many as it may have: a replay sets the same ones once more.
        let mut tags: serde_json::Map<_, _> = (0..14).map(|number| (format!("k{number}"), json!("v"))).collect();
        tags.extend([
            ("mine".to_owned(), json!(mine.split_once('=').expect("a tag").1)),
            ("stage".to_owned(), json!("new")),
        ]);
        let body = json!({ "workflow": "staged", "input": ["paid for", "shipped"], "tags": tags });
        let run = api.start_with(body).await.run_id;
        api.wait_for_state(&run, RunState::Waiting).await;
        let stages = async || {
            let mut counts = Vec::new();
            for stage in ["new", "between", "paid%20for", "shipped"] {
                counts.push(tagged(api, &format!("{mine},stage={stage}")).await);
            }
            counts
        };
        assert_eq!(stages().await, [0, 0, 1, 0]);
        api.signal(&run, "next", Value::Null).await;
        api.wait_for_events(&run, 1).await;
        api.wait_for_state(&run, RunState::Waiting).await;
        assert_eq!(stages().await, [0, 0, 0, 1]);
        api.signal(&run, "next", Value::Null).await;
        let ended = api.end(&run).await;
        assert_eq!(ended.state, RunState::Completed, "{}", document(&ended));
        assert_eq!(stages().await, [0, 0, 0, 1]);
        tags.insert("stage".to_owned(), json!("shipped"));
        assert_eq!(serde_json::to_value(&ended.tags).expect("JSON"), Value::Object(tags));
        let listed = windlass(&host.server, &["list", "--tag", mine, "--tag", "stage=shipped", "--json"]).await;
        let listed: Value = serde_json::from_str(&listed.stdout).expect("JSON");
        assert_eq!(listed["runs"][0]["run_id"], json!(run));
    }
}

#[tokio::test]
async fn a_run_that_never_waits_is_found_by_the_tags_that_it_set() {
    let host = shared().await;
    let arguments =
        ["start", "tags", "--input", "2", "--tag", "key-0=replaced", "--tag", "of=once", "--wait", "--json"];
    let ran = windlass(&host.server, &arguments).await;
    let run: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(run["tags"], json!({ "key-0": "0", "key-1": "1", "of": "once" }), "{}", ran.stderr);
    assert_eq!(tagged(&host.api, "of=once,key-0=0,key-1=1").await, 1);
    assert_eq!(tagged(&host.api, "of=once,key-0=replaced").await, 0);
}

/// Take a run that tags itself to its end, with its host killed at the `number`-th commit. Returns whether there was such a commit.
async fn killed_at(number: u32, moment: Moment) -> bool {
    let database = Database::new().await;
    let proxy = Proxy::open(&database).await;
    let options = ["--lease", "2s", "--park-after", "20ms"];
    let host = HostProcess::serve(&proxy.database, &options).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let pid = host.pid();
    proxy.at_commit(number, moment, move || kill_process(pid, Signal::KILL).expect("killed"));
    let mut hosts = vec![host];
    let what = format!("killed {moment:?} commit {number}");
    let start = json!({ "workflow": "climbs", "input": [0, 4], "tags": { "camp": "none", "by": "foot" } });
    let asked = http().post(format!("{}/runs", hosts[0].api.base)).header("Idempotency-Key", "climb").json(&start);
    if asked.send().await.is_err() {
        hosts.push(HostProcess::serve(&database, &options).await);
        let (status, answer) = hosts[1].api.post_once("/runs", "climb", &start).await;
        assert!(status.is_success(), "{what}: {answer}");
    }
    // At each moment: what it is found by follows from events that are there, and is what its row says.
    let look = "SELECT (SELECT count(*) FROM events) AS events, r.state, r.tags,
                       (SELECT array_agg(t.tag ORDER BY t.tag) FROM run_tags t) AS found_by FROM runs r";
    let look = format!("SELECT to_jsonb(q)::text FROM ({look}) q");
    eventually(&format!("the run ends, {what}"), async || {
        if hosts.last_mut().is_some_and(|host| host.ended().is_some()) {
            hosts.push(HostProcess::serve(&database, &options).await);
        }
        let seen: Value = serde_json::from_str(&database.text(&look).await?).expect("JSON");
        assert_eq!(seen["tags"], seen["found_by"], "{what}");
        let tag = |key: &str| {
            let tags = seen["tags"].as_array().expect("tags").iter().filter_map(Value::as_str);
            tags.filter_map(|tag| tag.split_once('=')).find(|tag| tag.0 == key).map(|tag| tag.1.to_owned())
        };
        let (events, height) = (seen["events"].as_u64().expect("a number"), tag("height"));
        let height = height.map_or(0, |height| height.parse().expect("a number"));
        assert!(height <= events, "{what}: {seen}");
        assert_eq!(tag("by").as_deref(), Some("foot"), "{what}");
        if seen["state"] == 0 {
            return None;
        }
        assert_eq!((events, height, tag("camp").as_deref()), (4, 4, Some("1")), "{what}: {seen}");
        Some(())
    })
    .await;
    // A commit after the last one of the run kills its host as well, at any moment from here on.
    eventually(&format!("the run is found, {what}"), async || {
        if hosts.last_mut().is_some_and(|host| host.ended().is_some()) {
            hosts.push(HostProcess::serve(&database, &options).await);
        }
        let found = format!("{}/runs?tags=by=foot,height=4,camp=1", hosts[hosts.len() - 1].api.base);
        let runs: Value = http().get(found).send().await.ok()?.json().await.ok()?;
        assert_eq!(runs["runs"][0]["state"], json!("completed"), "{what}: {runs}");
        Some(())
    })
    .await;
    proxy.is_done()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_run_is_found_by_never_runs_ahead_of_its_history_wherever_its_host_dies() {
    for moment in [Moment::Before, Moment::After] {
        let mut number = 1;
        while killed_at(number, moment).await {
            number += 1;
        }
        assert!(number > 3, "only {number} commits");
    }
}
