//! Holding runs back, and letting them go on.

use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::{Api, document};
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::shared::{forgetful, shared};

/// The status of an answer, and what it says.
async fn post(api: &Api, path: &str) -> (u16, Value) {
    let response = api.request(Method::POST, path, "{}").await;
    (response.status().as_u16(), response.json().await.expect("JSON"))
}

async fn done(api: &Api, path: &str) -> Value {
    let (status, body) = post(api, path).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

/// In how many of the small tables a run stands, and how many rows there are of `paused`.
async fn places(database: &Database, run: &str) -> (i64, i64) {
    let count = |table: &str| format!("(SELECT count(*) FROM {table} WHERE run_id = '{run}')");
    let all = ["ready", "owned", "parked", "paused"].map(count).join(" + ");
    (database.count(&format!("SELECT {all}")).await, database.count(&format!("SELECT {}", count("paused"))).await)
}

#[tokio::test]
async fn a_run_that_is_paused_takes_nothing_and_goes_on_with_all_that_has_come_meanwhile() {
    for host in [shared().await, forgetful().await] {
        let api = &host.api;
        let run = api.start("collect", json!(2)).await;
        api.signal(&run, "item", json!(1)).await;
        api.wait_for_events(&run, 1).await;
        api.wait_for_state(&run, RunState::Waiting).await;
        assert_eq!(done(api, &format!("/runs/{run}/pause")).await["state"], "paused");
        api.signal(&run, "item", json!(2)).await;
        // What would wake it does not.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(api.run(&run).await.state, RunState::Paused);
        assert_eq!(api.run(&run).await.events, 1);
        assert_eq!(places(&host.database, &run).await, (1, 1));
        done(api, &format!("/runs/{run}/resume")).await;
        assert_eq!(api.result(&run).await, json!([1, 2]));
    }
}

#[tokio::test]
async fn a_step_that_is_under_way_ends_and_is_recorded_before_its_run_is_let_go_of() {
    let host = shared().await;
    let api = &host.api;
    let run = api.start("slow_then_quick", json!(700)).await;
    api.wait_for_state(&run, RunState::Running).await;
    let asked = done(api, &format!("/runs/{run}/pause")).await;
    assert_eq!(asked["state"], "running", "its host is at it: {asked}");
    api.wait_for_state(&run, RunState::Paused).await;
    assert_eq!(places(&host.database, &run).await, (1, 1));
    let history = api.history(&run).await;
    let attempts = history.events.iter().map(|event| (&*event.name, event.attempt)).collect::<Vec<_>>();
    assert_eq!(attempts, [("takes", Some(1))], "no attempt was cut, and none was begun");
    done(api, &format!("/runs/{run}/resume")).await;
    assert_eq!(api.result(&run).await, 702);
    assert_eq!(api.history(&run).await.events.len(), 2);
}

#[tokio::test]
async fn every_transition_says_which_state_it_is_not_for() {
    let api = &shared().await.api;
    let conflict = async |path: String, detail: &str| {
        let (status, problem) = post(api, &path).await;
        assert_eq!((status, &problem["code"]), (409, &json!("wrong-state")), "{path}: {problem}");
        assert_eq!(problem["detail"], format!("it is {detail}: nothing was changed"), "{path}");
    };
    let run = api.start("forever", Value::Null).await;
    api.wait_for_state(&run, RunState::Waiting).await;
    conflict(format!("/runs/{run}/resume"), "waiting").await;
    conflict(format!("/runs/{run}/retry"), "waiting").await;
    done(api, &format!("/runs/{run}/pause")).await;
    conflict(format!("/runs/{run}/pause"), "paused").await;
    conflict(format!("/runs/{run}/retry"), "paused").await;
    api.terminate(&run, "enough").await;
    for verb in ["pause", "resume"] {
        let (status, problem) = post(api, &format!("/runs/{run}/{verb}")).await;
        assert_eq!((status, &problem["code"]), (409, &json!("run-ended")), "{verb}");
    }
    let (status, problem) = post(api, &format!("/runs/{run}/retry")).await;
    assert_eq!((status, &problem["code"]), (409, &json!("cannot-rewind")), "it has failed at nothing: {problem}");
    conflict("/workflows/nap/resume".to_owned(), "not paused").await;
    let (status, problem) = post(api, "/workflows/no-such/pause").await;
    assert_eq!((status, &problem["code"]), (404, &json!("no-such-workflow")));
}

#[tokio::test]
async fn a_paused_run_can_be_asked_to_stop_and_can_be_ended() {
    let host = shared().await;
    let api = &host.api;
    let (asked, ended) = (api.start("forever", Value::Null).await, api.start("forever", Value::Null).await);
    for run in [&asked, &ended] {
        api.wait_for_state(run, RunState::Waiting).await;
        done(api, &format!("/runs/{run}/pause")).await;
    }
    assert_eq!(api.cancel(&asked).await.status(), 200);
    // It is told when it goes on.
    api.wait_for_state(&asked, RunState::Paused).await;
    done(api, &format!("/runs/{asked}/resume")).await;
    assert_eq!(api.end(&asked).await.state, RunState::Cancelled);
    assert_eq!(api.terminate(&ended, "enough").await.state, RunState::Failed);
    assert_eq!(places(&host.database, &ended).await, (0, 0));
}

#[tokio::test]
async fn a_run_that_is_quarantined_goes_on_when_it_is_retried_after_what_was_wrong_has_been_mended() {
    let host = forgetful().await;
    let (api, database) = (&host.api, &host.database);
    let run = api.start("collect", json!(2)).await;
    api.signal(&run, "item", json!(1)).await;
    api.wait_for_events(&run, 1).await;
    api.wait_for_state(&run, RunState::Waiting).await;
    // What a bad version would have done: the history is not what the guest asks for.
    let rename = |from: &str, to: &str| {
        format!(
            "WITH changed AS (UPDATE events SET name = '{to}' WHERE run_id = '{run}' AND name = '{from}' RETURNING 1)
             SELECT count(*) FROM changed"
        )
    };
    assert_eq!(database.count(&rename("item", "thing")).await, 1);
    api.signal(&run, "item", json!(2)).await;
    assert_eq!(api.end(&run).await.state, RunState::Quarantined);
    // As long as nothing was mended, it is no use.
    done(api, &format!("/runs/{run}/retry")).await;
    assert_eq!(document(&api.end(&run).await)["code"], "divergence");
    assert_eq!(database.count(&rename("thing", "item")).await, 1);
    done(api, &format!("/runs/{run}/retry")).await;
    assert_eq!(api.result(&run).await, json!([1, 2]));
}

/// A host of its own, with the probe in its namespace: others share theirs with everybody.
async fn own_host(database: &Database) -> HostProcess {
    let host = HostProcess::serve(database, &["--park-after", "20ms"]).await;
    host.api.deploy(guest_bytes("probe"), "127.0.0.1:*").await.expect("deployed");
    host
}

#[tokio::test]
async fn of_a_workflow_that_is_paused_nothing_goes_on_and_of_others_everything() {
    let database = Database::new().await;
    let host = own_host(&database).await;
    let api = &host.api;
    let sleeping = api.start("nap", json!(2_000)).await;
    let waiting = api.start("collect", json!(1)).await;
    done(api, "/workflows/nap/pause").await;
    assert_eq!(api.get("/pauses").await["pauses"][0]["workflow"], "nap");
    let later = api.start("nap", json!(1)).await;
    api.signal(&waiting, "item", json!(7)).await;
    assert_eq!(api.result(&waiting).await, json!([7]), "another workflow");
    // The time of one has come, and the other would long be over.
    for run in [&sleeping, &later] {
        api.wait_for_state(run, RunState::Paused).await;
    }
    eventually("both have been found paused", async || {
        (database.count("SELECT count(*) FROM paused").await == 2).then_some(())
    })
    .await;
    // One that is paused by itself as well stays so.
    done(api, &format!("/runs/{later}/pause")).await;
    assert_eq!(done(api, "/workflows/nap/resume").await["ready"], 1);
    api.result(&sleeping).await;
    assert_eq!(api.run(&later).await.state, RunState::Paused);
    done(api, &format!("/runs/{later}/resume")).await;
    api.result(&later).await;
}

#[tokio::test]
async fn a_namespace_that_is_paused_stays_so_over_the_death_of_its_host_and_loses_nothing() {
    let database = Database::new().await;
    let mut host = own_host(&database).await;
    let mut runs = Vec::new();
    for _ in 0..20 {
        runs.push(host.api.start("naps", json!(vec![30; 20])).await);
    }
    host.api.wait_for_events(&runs[19], 1).await;
    done(&host.api, "/pause").await;
    assert_eq!(post(&host.api, "/pause").await.1["detail"], "it is paused: nothing was changed");
    host.kill();
    let host = own_host(&database).await;
    runs.push(host.api.start("nap", json!(1)).await);
    for run in &runs {
        host.api.wait_for_state(run, RunState::Paused).await;
    }
    eventually("nobody is at any of them", async || {
        (database.count("SELECT count(*) FROM owned").await == 0).then_some(())
    })
    .await;
    let events = "SELECT count(*) FROM events";
    let before = database.count(events).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(database.count(events).await, before, "nothing goes on");
    done(&host.api, "/resume").await;
    for run in &runs {
        host.api.result(run).await;
    }
    assert_eq!(database.count("SELECT count(*) FROM paused").await, 0);
}

#[tokio::test]
async fn runs_that_were_resumed_by_somebody_who_died_over_it_are_found() {
    let database = Database::new().await;
    let host = own_host(&database).await;
    done(&host.api, "/pause").await;
    let run = host.api.start("nap", json!(1)).await;
    eventually("it is paused", async || (places(&database, &run).await == (1, 1)).then_some(())).await;
    // The first of two transactions, and never the second.
    database.text("SELECT resume_workflow('default', '', 'cli:test')::text").await;
    let store = database.store().await;
    let [(namespace, _)] = &store.resumes().await.expect("read")[..] else { panic!("nobody would find it") };
    assert_eq!(store.release_paused(namespace, None, 1_000).await.expect("released").0, 1);
    assert_eq!(store.release_paused(namespace, None, 1_000).await.expect("released").0, 0);
    host.api.result(&run).await;
}
