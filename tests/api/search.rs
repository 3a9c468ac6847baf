//! Finding runs that real hosts have left, by tags and by codes.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::tenants::own_and_other;

fn ids(page: &Value) -> Vec<&str> {
    page["runs"].as_array().expect("runs").iter().map(|run| run["run_id"].as_str().expect("an id")).collect()
}

#[tokio::test]
async fn runs_are_found_by_the_tags_that_they_were_started_with_and_only_by_their_tenant() {
    let (own, other) = own_and_other().await;
    let acme = json!({ "customer": "acme inc", "env": "production" });
    let tagged = own.start_with(json!({ "workflow": "one_of_each", "tags": acme })).await;
    assert_eq!(serde_json::to_value(&tagged.tags).expect("JSON"), acme);
    // One that never waits is written with its end, in another way.
    let done = own.start_with(json!({ "workflow": "steps", "input": 2, "tags": { "env": "production" } })).await;
    own.end(&done.run_id).await;
    let plain = own.start("steps", json!(1)).await;
    own.end(&plain).await;
    let both = own.get("/runs?tags=env=production").await;
    assert_eq!(ids(&both), [&*done.run_id, &*tagged.run_id], "newest first");
    assert_eq!(ids(&own.get("/runs?tags=env=production,customer=acme%20inc").await), [&*tagged.run_id]);
    assert_eq!(own.get("/runs?tags=env=production").await["runs"][1]["tags"], acme);
    assert_eq!(ids(&own.get("/runs?tags=env=staging").await), [""; 0]);
    assert_eq!(own.get("/runs/count?tags=env=production").await, json!({ "runs": 2, "is_exact": true }));
    assert_eq!(ids(&own.get("/runs").await).len(), 3);
    assert_eq!(ids(&other.get("/runs?tags=env=production").await), [""; 0]);
    let first = own.get("/runs?tags=env=production&limit=1").await;
    let cursor = first["next"].as_str().expect("a cursor");
    assert_eq!(ids(&own.get(&format!("/runs?tags=env=production&limit=1&cursor={cursor}")).await), [&*tagged.run_id]);
}

#[tokio::test]
async fn runs_are_found_by_what_they_came_to() {
    let (own, _) = own_and_other().await;
    let failed = own.start("fails", Value::Null).await;
    let code =
        serde_json::from_str::<Value>(own.end(&failed).await.failure.expect("a failure").as_str()).expect("JSON");
    let code = code["code"].as_str().expect("a code").to_owned();
    let quarantined = own.start("panics", Value::Null).await;
    own.wait_for_state(&quarantined, RunState::Quarantined).await;
    let terminated = own.start("one_of_each", Value::Null).await;
    own.wait_for_state(&terminated, RunState::Waiting).await;
    own.terminate(&terminated, "for a test").await;
    assert_eq!(ids(&own.get(&format!("/runs?failure_code={code}")).await), [&*failed]);
    assert_eq!(ids(&own.get("/runs?failure_code=terminated").await), [&*terminated]);
    assert_eq!(ids(&own.get("/runs?failure_code=guest-panic&state=quarantined").await), [&*quarantined]);
    assert_eq!(ids(&own.get("/runs?state=failed").await), [&*terminated, &*failed]);
    assert_eq!(own.get("/runs?state=failed").await["runs"][1]["failure_code"], json!(code));
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_refused_with_the_reason() {
    let (own, _) = own_and_other().await;
    for (query, why) in [
        ("tags=customer", "key=value"),
        ("tags=a=b,,c=d", "key=value"),
        ("version=1", "component"),
        ("started_from=yesterday", "started_from"),
        ("colour=red", "colour"),
        ("state=happy", "happy"),
    ] {
        let response = own.request(Method::GET, &format!("/runs/count?{query}"), "").await;
        let (status, problem) = (response.status(), response.json::<Value>().await.expect("a problem"));
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("bad-request")), "{query}: {problem}");
        assert!(problem["detail"].as_str().expect("a detail").contains(why), "{query}: {problem}");
    }
    for tags in [json!({ "": "x" }), json!({ "a": "" }), json!({ "a": "x,y" })] {
        let body = json!({ "workflow": "steps", "input": 1, "tags": tags }).to_string();
        let response = own.request(Method::POST, "/runs", body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{tags}");
    }
}
