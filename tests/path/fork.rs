//! Other runs that begin with the history of one.

use reqwest::StatusCode;
use serde_json::{Value, json};
use windlass_host::model::RunState;

use super::rewind::{done, host, post};
use crate::harness::api::Api;
use crate::harness::host::windlass;
use crate::harness::till::Till;

async fn fork(api: &Api, run: &str, before: u32) -> String {
    let fork = done(api, &format!("/runs/{run}/fork"), json!({ "before": before })).await;
    fork["run_id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn a_fork_goes_another_way_than_its_original_and_both_come_to_their_ends() {
    let (_database, host) = host().await;
    let api = &host.api;
    let run = api.start("collect", json!(3)).await;
    for number in 1..=2 {
        api.signal(&run, "item", json!(number)).await;
    }
    api.wait_for_events(&run, 2).await;
    // From where it is, and from an earlier event; while it waits, and when it is over.
    let (late, early) = (fork(api, &run, 2).await, fork(api, &run, 1).await);
    let view = api.run(&early).await;
    assert_eq!(view.forked_from.map(|fork| (fork.run_id.to_string(), fork.before)), Some((run.clone(), 1)));
    api.signal(&late, "item", json!(30)).await;
    assert_eq!(api.result(&late).await, json!([1, 2, 30]));
    api.signal(&run, "item", json!(3)).await;
    assert_eq!(api.result(&run).await, json!([1, 2, 3]));
    for number in [20, 300] {
        api.signal(&early, "item", json!(number)).await;
    }
    assert_eq!(api.result(&early).await, json!([1, 20, 300]), "what the other has received since is the other's");
    let again = fork(api, &early, 2).await;
    api.signal(&again, "item", json!(4)).await;
    assert_eq!(api.result(&again).await, json!([1, 20, 4]));
    assert_eq!(api.event_names(&run).await, api.event_names(&again).await);
    let audit = windlass(&host.server, &["audit", "list"]).await;
    assert_eq!(audit.stdout.matches("run.fork").count(), 3, "{}", audit.stdout);
}

#[tokio::test]
async fn what_a_fork_does_outside_has_keys_of_its_own() {
    let (_database, host) = host().await;
    let (api, till) = (&host.api, Till::open().await);
    let run = api.start("buy", json!({ "id": "A-1", "shop": till.url, "posts": 3, "pause_ms": 0 })).await;
    api.result(&run).await;
    let fork = fork(api, &run, 1).await;
    let key = |run: &str, call: &str| format!("default/{run}/{call}");
    assert_eq!(api.result(&fork).await, json!([key(&run, "0"), key(&fork, "1"), key(&fork, "2")]));
    done(api, &format!("/runs/{fork}/rewind"), json!({ "before": 2 })).await;
    assert_eq!(api.result(&fork).await, json!([key(&run, "0"), key(&fork, "1"), key(&fork, "2~1")]));
    assert_eq!(till.taken().len(), 6);
}

#[tokio::test]
async fn the_guest_of_a_fork_sees_what_that_of_the_original_has_seen() {
    let (_database, host) = host().await;
    let api = &host.api;
    let run = api.start_with(json!({ "workflow": "worlds", "input": 1, "timeout": "1h" })).await.run_id;
    let seen = api.result(&run).await;
    let forked = fork(api, &run, 0).await;
    let (mut again, mut before) = (api.result(&forked).await, seen);
    assert_eq!((&again[0], &again[1]["run_id"]), (&before[0], &json!(run)), "it has its id and its time");
    // The sleep is its own.
    for time in ["now_us", "system_us", "monotonic_us"] {
        again[1][time] = Value::Null;
        before[1][time] = Value::Null;
    }
    assert_eq!(again, before);
    let view = api.run(&forked).await;
    assert!(view.started_at > api.run(&run).await.started_at && view.deadline_at.is_none());
    let probe = crate::harness::guests::guest("probe");
    let replayed = windlass(&host.server, &["replay", &forked, "--against", probe.to_str().expect("a path")]).await;
    assert_eq!(replayed.stdout.trim(), "1 events, completed", "{}", replayed.stderr);
}

#[tokio::test]
async fn the_same_key_is_the_same_fork_and_another_one_is_a_conflict() {
    let (_database, host) = host().await;
    let api = &host.api;
    let run = api.start("collect", json!(1)).await;
    api.signal(&run, "item", json!(1)).await;
    api.result(&run).await;
    let ask = async |body: Value| api.post_once(&format!("/runs/{run}/fork"), "once", &body).await;
    let (status, first) = ask(json!({ "before": 0, "pause": true })).await;
    assert_eq!((status, &first["state"]), (StatusCode::CREATED, &json!("paused")), "{first}");
    let (status, again) = ask(json!({ "before": 0 })).await;
    assert_eq!((status, &again["run_id"]), (StatusCode::OK, &first["run_id"]));
    let (status, problem) = ask(json!({ "before": 1 })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("idempotency-conflict")));
    let fork = first["run_id"].as_str().expect("an id");
    done(api, &format!("/runs/{fork}/resume"), json!({})).await;
    api.signal(fork, "item", json!(2)).await;
    assert_eq!(api.result(fork).await, json!([2]));
    let forked = windlass(&host.server, &["fork", &run, "--before", "0", "--key", "once"]).await;
    assert_eq!((forked.code, forked.stdout.trim()), (Some(0), fork), "{}", forked.stderr);
}

#[tokio::test]
async fn a_run_is_not_forked_where_it_waits_for_a_child_nor_where_it_never_was() {
    let (database, host) = host().await;
    let api = &host.api;
    let run = api.start("fosters", json!(1)).await;
    api.signal(&run, "number", json!(2)).await;
    api.wait_for_events(&run, 1).await;
    let refused = async |before: u32| {
        let (status, problem) = post(api, &format!("/runs/{run}/fork"), json!({ "before": before })).await;
        (status, problem["code"].as_str().expect("a code").to_owned(), problem["detail"].to_string())
    };
    let (status, code, detail) = refused(1).await;
    assert_eq!((status, &*code), (409, "cannot-rewind"));
    assert!(detail.contains("waits for its child") && detail.contains("call 1"), "{detail}");
    let (status, code, detail) = refused(2).await;
    assert_eq!((status, &*code), (404, "no-such-event"));
    assert!(detail.contains("the events 0 to 0, and 1 is the next one"), "{detail}");
    assert_eq!(database.count("SELECT count(*) FROM runs WHERE lineage IS NOT NULL").await, 0);
    // Before the call of the child, there is none: the fork starts its own.
    let fork = fork(api, &run, 0).await;
    api.signal(&fork, "number", json!(3)).await;
    api.wait_for_events(&fork, 1).await;
    api.wait_for_state(&fork, RunState::Waiting).await;
    assert_eq!(database.count("SELECT count(*) FROM runs WHERE workflow = 'fostered'").await, 2);
}

#[tokio::test]
async fn a_fork_of_a_run_that_has_continued_as_new_has_the_history_since() {
    let (_database, host) = host().await;
    let api = &host.api;
    let lap = json!({ "left": 2, "sum": 0, "random": [], "lengths": [] });
    let run = api.start("laps", lap).await;
    for number in 1..=4 {
        api.signal(&run, "item", json!(number)).await;
    }
    let result = api.result(&run).await;
    assert_eq!((&result[0], &result[1]), (&json!(10), &json!(2)));
    let (status, problem) = post(api, &format!("/runs/{run}/fork"), json!({ "before": 1 })).await;
    let detail = "its history has the events 2 to 3 since it last continued as new, and 4 is the next one";
    assert_eq!((status, &problem["detail"]), (404, &json!(detail)));
    let fork = fork(api, &run, 3).await;
    assert_eq!(api.history(&fork).await.events.len(), 1);
    api.signal(&fork, "item", json!(40)).await;
    assert_eq!(api.result(&fork).await[0], 46);
}
