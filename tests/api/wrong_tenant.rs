//! Every route as the wrong tenant: what another one has is answered like what nobody has, and stays as it is.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::model::{RunState, Scope};

use super::operations::{NOTHING, Names, Operation, operations};
use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::tenants::new_key;

/// What the victim calls its things: words that are in no answer by chance.
const NAMES: Names = Names {
    run_id: "",
    key_id: "",
    name: "name-of-the-victim",
    component: "component-of-the-victim",
    workflow: "one_of_each",
    step: "step-of-the-victim",
};

/// What is answered on one route.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    text: String,
}

impl Answer {
    /// With `it` wherever one of the names is.
    fn without(mut self, names: Names<'_>, namespace: &str) -> Self {
        for name in words(names).into_iter().chain([namespace]) {
            self.text = self.text.replace(name, "it");
        }
        self
    }
}

fn words(Names { run_id, key_id, name, component, workflow, step }: Names<'_>) -> [&str; 6] {
    [run_id, key_id, name, component, workflow, step]
}

async fn ask(api: &Api, namespace: &str, operation: &Operation, names: Names<'_>) -> Answer {
    let address = operation.address(namespace, names);
    let below = address.strip_prefix(&format!("/v1/namespaces/{namespace}")).expect("in a namespace");
    let response = api.request(operation.method.clone(), below, operation.body(names)).await;
    Answer { status: response.status(), text: response.text().await.expect("a body") }
}

/// Without the times and sums that change while nobody does anything.
fn at_rest(mut answer: Value) -> Value {
    fn without(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !["last_used_at", "stored_bytes"].contains(&&**name));
                fields.values_mut().for_each(without);
            }
            Value::Array(values) => values.iter_mut().for_each(without),
            _ => {}
        }
    }
    without(&mut answer);
    answer
}

/// All that a tenant can see of what it has.
async fn all_of(api: &Api, names: Names<'_>) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for operation in operations() {
        // Some stay open; some tell how long what waits has waited by now.
        let changes = ["/follow", "/metrics", "/queues", "/retention"].iter().any(|end| operation.path.ends_with(end));
        if operation.method != Method::GET || operation.is_about_all() || changes {
            continue;
        }
        let Answer { status, text } = ask(api, "victim", &operation, names).await;
        // What a run shows: it shows nothing yet.
        assert!(status.is_success() || operation.path.ends_with("/state"), "{}: {status} {text}", operation.path);
        all.push((operation.path, serde_json::from_str(&text).map(at_rest).unwrap_or(json!(text))));
    }
    all
}

/// One of each thing that there can be in a namespace, by the names above. Returns the ids of a run that waits and of a key.
async fn has_one_of_each(victim: &Api) -> (String, String) {
    let Names { name, component, step, workflow, .. } = NAMES;
    victim.deploy_as(component, guest_bytes("probe")).await.expect("deployed");
    let run = victim.start(workflow, Value::Null).await;
    victim.wait_for_events(&run, 3).await;
    victim.wait_for_state(&run, RunState::Waiting).await;
    let schedule = json!({ "workflow": workflow, "spec": { "cron": "0 1 1 1 *" } }).to_string();
    let secret = json!({ "value": "a-secret-of-theirs", "for": ["https://bank.example"], "header": "authorization" });
    let things = [
        (Method::PUT, format!("/schedules/{name}"), schedule),
        (Method::PUT, format!("/secrets/{name}"), secret.to_string()),
        (Method::PUT, format!("/rate-limits/{step}"), r#"{"per_second":7}"#.to_owned()),
        (Method::PUT, format!("/workflows/{workflow}/concurrency"), r#"{"max_runs":77}"#.to_owned()),
        (Method::PUT, format!("/components/{component}/grants?http=api.example.com"), String::new()),
        (Method::POST, format!("/workflows/{workflow}/pause"), "{}".to_owned()),
        (Method::POST, "/keys".to_owned(), r#"{"name":"x","scopes":["read"]}"#.to_owned()),
    ];
    let mut key = Value::Null;
    for (method, path, body) in things {
        let response = victim.request(method, &path, body).await;
        let status = response.status();
        key = response.json().await.unwrap_or_default();
        assert!(status.is_success(), "{path}: {status} {key}");
    }
    (run, key["key_id"].as_str().expect("an id").to_owned())
}

#[tokio::test]
async fn what_another_tenant_has_is_answered_on_every_route_like_what_nobody_has_and_stays_as_it_is() {
    let database = Database::new().await;
    let host = HostProcess::serve_with_keys(&database, &[]).await;
    let store = database.store().await;
    let operator = new_key(&store, "*", &Scope::ALL).await;
    let mut tenants = Vec::new();
    for namespace in ["victim", "intruder", "newcomer"] {
        let made = Api::with_key(&host.server, namespace, &operator).request(Method::PUT, "", "{}").await;
        assert!(made.status().is_success(), "{made:?}");
        tenants.push(Api::with_key(&host.server, namespace, &new_key(&store, namespace, &Scope::ALL).await));
    }
    let [victim, intruder, newcomer] = &tenants[..] else { unreachable!("three") };
    let (run_id, key_id) = has_one_of_each(victim).await;
    let theirs = Names { run_id: &run_id, key_id: &key_id, ..NAMES };
    let before = all_of(victim, theirs).await;

    // The reading ones first: what the others make has the same names.
    let mut operations = operations();
    operations.retain(|operation| !operation.is_about_all());
    operations.sort_by_key(|operation| operation.method != Method::GET);
    // One asks for what the victim has, and one for what nobody has.
    let mut compared = 0;
    for operation in &operations {
        let what = format!("{} {}", operation.method, operation.path);
        let answer = ask(intruder, "intruder", operation, theirs).await;
        if operation.names_something() || operation.body(theirs) != operation.body(NOTHING) {
            let nothing = ask(newcomer, "newcomer", operation, NOTHING).await;
            assert_eq!(answer.without(theirs, "intruder"), nothing.without(NOTHING, "newcomer"), "{what}");
            compared += 1;
        } else if operation.method == Method::GET {
            assert!(!words(theirs).iter().any(|word| answer.text.contains(word)), "{what}: {answer:?}");
        }
    }
    assert!(compared >= 43, "{compared}");
    // Once more, when there is something of its own behind each of these names.
    has_one_of_each(intruder).await;
    for operation in operations.iter().filter(|operation| operation.method != Method::GET) {
        ask(intruder, "intruder", operation, theirs).await;
    }
    assert_eq!(all_of(victim, theirs).await, before);
    // None of it has touched the run.
    let resumed = victim.request(Method::POST, "/workflows/one_of_each/resume", "{}").await;
    assert!(resumed.status().is_success(), "{}", resumed.status());
    victim.signal(&run_id, "go", json!(1)).await;
    assert_eq!(victim.result(&run_id).await, json!(45));
}
