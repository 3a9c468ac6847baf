//! The overview of runs in every state, as real hosts leave them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::{Api, http};
use crate::harness::eventually;
use crate::harness::tenants::{own_and_other, tenants};

async fn ask(api: &Api, path: &str, runs: &[&str]) -> Value {
    let response = api.request(Method::POST, path, json!({ "run_ids": runs }).to_string()).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    response.json().await.expect("JSON")
}

async fn context(api: &Api, run: &str) -> Value {
    ask(api, "/runs/context", &[run]).await["runs"][0].clone()
}

fn words(context: &Value) -> [&str; 3] {
    ["execution_status", "health", "recommended_action"].map(|word| context[word].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_run_in_every_state_says_how_it_is_and_what_to_do() {
    let (own, other) = own_and_other().await;
    let done = own.start("steps", json!(3)).await;
    own.end(&done).await;
    let failed = own.start("fails", Value::Null).await;
    own.end(&failed).await;
    let quarantined = own.start("panics", Value::Null).await;
    own.wait_for_state(&quarantined, RunState::Quarantined).await;
    let sleeping = own.start("nap", json!(3_600_000)).await;
    own.wait_for_state(&sleeping, RunState::Waiting).await;
    let listening = own.start("collect", json!(1)).await;
    own.wait_for_state(&listening, RunState::Waiting).await;
    assert_eq!(words(&context(&own, &done).await), ["completed", "healthy", "none"]);
    assert_eq!(words(&context(&own, &failed).await), ["failed", "failed", "retry"]);
    assert_eq!(words(&context(&own, &quarantined).await), ["quarantined", "quarantined", "investigate"]);
    assert_eq!(words(&context(&own, &sleeping).await), ["waiting", "waiting", "wait"]);
    assert_eq!(words(&context(&own, &listening).await), ["waiting", "waiting", "signal"]);
    let done = context(&own, &done).await;
    assert_eq!(
        (&done["completion"], &done["steps"]["completed"], &done["events"]),
        (&json!(1.0), &json!(3), &json!(3))
    );
    // All in one call; of what another tenant asks for, nothing.
    let all = [&*failed, &*quarantined, &*sleeping, &*failed];
    assert_eq!(ask(&own, "/runs/context", &all).await["runs"].as_array().expect("runs").len(), 3);
    assert_eq!(ask(&other, "/runs/context", &all).await["runs"], json!([]));
    assert_eq!(ask(&other, "/runs/steps", &all).await["steps"], json!([]));
}

#[tokio::test]
async fn the_steps_of_a_run_say_what_was_tried_and_what_comes_next() {
    let (own, _) = own_and_other().await;
    let flaky = own.start("flaky", json!(2)).await;
    own.result(&flaky).await;
    let steps = ask(&own, "/runs/steps", &[&flaky]).await;
    let step = &steps["steps"][0];
    assert_eq!(
        (&step["step"], &step["state"], &step["attempts"]),
        (&json!("succeeds_after"), &json!("completed"), &json!(3))
    );
    assert!(step["attempt_limit"].as_u64().expect("a limit") >= 3, "{step}");
    assert_eq!(step["dependencies_satisfied"], json!(true));
    assert!(step["last_failure"]["code"].is_string(), "{step}");
    assert_eq!(step["retry_eligible"], json!(false));
    let hopeless = own.start("hopeless", Value::Null).await;
    own.end(&hopeless).await;
    let steps = ask(&own, "/runs/steps", &[&hopeless, &flaky]).await;
    let states: Vec<_> = steps["steps"].as_array().expect("steps").iter().map(|step| &step["state"]).collect();
    assert!(states.contains(&&json!("failed")) && states.contains(&&json!("completed")), "{steps}");
}

#[tokio::test]
async fn a_step_between_two_attempts_says_when_the_next_one_is() {
    let (own, _) = own_and_other().await;
    // It never comes in time, and waits for twice as long each time.
    let run = own.start("slow", json!([60_000, 50, 20])).await;
    let step = eventually("the step is tried again", async || {
        let steps = ask(&own, "/runs/steps", &[&run]).await;
        Some(steps["steps"][0].clone())
            .filter(|step| step["state"] == "retrying" && step["attempts"].as_u64() > Some(2))
    })
    .await;
    assert_eq!((&step["step"], &step["retry_eligible"]), (&json!("takes"), &json!(true)), "{step}");
    assert!(step["next_retry_at"].is_string() && step["last_failure"].is_object(), "{step}");
    let context = eventually("its run is retrying", async || {
        Some(context(&own, &run).await).filter(|context| context["health"] == "retrying")
    })
    .await;
    assert_eq!(
        (&context["recommended_action"], &context["steps"]["retrying"]),
        (&json!("wait"), &json!(1)),
        "{context}"
    );
    own.terminate(&run, "for a test").await;
    assert_eq!(ask(&own, "/runs/steps", &[&run]).await["steps"][0]["state"], "abandoned");
}

#[tokio::test]
async fn queues_and_figures_count_what_a_namespace_has_and_nothing_of_others() {
    let (own, other) = own_and_other().await;
    let run = own.start("nap", json!(3_600_000)).await;
    own.wait_for_state(&run, RunState::Waiting).await;
    let failed = own.start("fails", Value::Null).await;
    own.end(&failed).await;
    let depth = |queues: &Value, name: &str| {
        let queue = queues["queues"].as_array().expect("queues").iter().find(|queue| queue["queue"] == name);
        queue.expect(name)["depth"].clone()
    };
    assert_eq!(depth(&own.get("/queues").await, "waiting"), json!(1));
    assert_eq!(depth(&other.get("/queues").await, "waiting"), json!(0));
    let metrics = own.get("/metrics").await;
    for (metric, value) in [("runs_waiting", 1.0), ("runs_started_last_hour", 2.0), ("runs_failed_last_hour", 1.0)] {
        assert_eq!(metrics["metrics"][metric], json!(value), "{metric}: {metrics}");
    }
    assert_eq!(other.get("/metrics").await["metrics"]["runs_started_last_hour"], json!(0.0));
    let server = tenants().await.server;
    let text = http().get(format!("{server}/metrics")).send().await.expect("metrics").text().await.expect("text");
    assert!(text.contains("windlass_queue_depth{queue=\"waiting\"} "), "{text}");
    assert!(!text.contains("tenant-"), "it is open to everybody: {text}");
}
