//! The wall: every route with every kind of key. The routes come from the description of the API, so that a new one is tested
//! without being named here.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::model::{ApiKey, Reach, RunState, Scope, Who};
use windlass_host::store::NewKey;

use crate::harness::api::{Api, http};
use crate::harness::guests::guest_bytes;
use crate::harness::shared::shared;
use crate::harness::tenants::{Tenants, tenants};

/// An operation of the API.
struct Operation {
    method: Method,
    path: String,
    scope: Scope,
    is_for_all: bool,
}

/// All that the description has.
fn operations() -> Vec<Operation> {
    let description = serde_json::to_value(windlass_host::api::description()).expect("JSON");
    let mut operations = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let scope = operation["security"][0]["api_key"][0].as_str();
            let scope = scope.unwrap_or_else(|| panic!("{method} {path} does not say which scope opens it"));
            let method = method.to_uppercase().parse().expect("a method");
            let is_for_all = operation["security"][0]["api_key"][1] == "all-namespaces";
            operations.push(Operation {
                method,
                path: path.clone(),
                scope: scope.parse().expect("a scope"),
                is_for_all,
            });
        }
    }
    assert!(operations.len() >= 19, "{}", operations.len());
    operations
}

impl Operation {
    /// Its address, about things that are not there.
    fn path(&self, namespace: &str, run: &str, key: &str) -> String {
        let path = self.path.replace("{namespace}", namespace).replace("{run_id}", run).replace("{key_id}", key);
        let path = path.replace("{name}", "some-name").replace("{component}", "some-component");
        let path = path.replace("{workflow}", "some-workflow").replace("{version}", "1").replace("{step}", "some-step");
        assert!(!path.contains('{'), "{path}: say what stands in the place");
        path
    }

    fn is_about_all(&self) -> bool {
        self.is_for_all || !self.path.contains("{namespace}")
    }
}

/// What came back.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    body: Value,
    challenge: Option<String>,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

async fn ask(tenants: &Tenants, method: &Method, path: &str, authorization: Option<&str>) -> Answer {
    let request = tenants.http.request(method.clone(), format!("{}{path}", tenants.server));
    // What is asked for has to be said in one of them.
    let verb = path.rsplit('/').next().unwrap_or_default();
    let body = match verb {
        "migrate" => r#"{"version":1}"#,
        "rewind" | "fork" => r#"{"before":1}"#,
        _ => "{}",
    };
    let request = request.header("Content-Type", "application/json").body(body);
    let request = match authorization {
        Some(value) => request.header(AUTHORIZATION, value),
        None => request,
    };
    let response = request.send().await.expect("an answer");
    let challenge = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().expect("text").to_owned());
    let status = response.status();
    let text = response.text().await.expect("a body");
    Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)), challenge }
}

fn bearer(key: &ApiKey) -> Option<String> {
    Some(format!("Bearer {}", key.reveal()))
}

const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
const NO_KEY: &str = "0000000000";

/// A key with the id of one and the secret of another, and a checksum that fits.
fn mixed(id: &ApiKey, secret: &ApiKey) -> String {
    let secret = secret.reveal();
    let text = format!("wl_{}_{}", id.id(), &secret[14..14 + 43]);
    format!("{text}{:08x}", crc32fast::hash(text.as_bytes()))
}

async fn expired(tenants: &Tenants, reach: &str) -> ApiKey {
    let (key, reach) = (ApiKey::new(), Reach::try_from(reach.to_owned()).expect("a namespace"));
    let lifetime = Some(Duration::from_micros(1));
    let new = NewKey { key: &key, reach: &reach, scopes: &Scope::ALL, name: "x", lifetime, who: &Who::Dev };
    assert!(tenants.store.create_key(new).await.expect("made"));
    key
}

async fn revoked(tenants: &Tenants, reach: &str) -> ApiKey {
    let key = tenants.key(reach, &Scope::ALL).await;
    let reach = Reach::try_from(reach.to_owned()).expect("a namespace");
    assert_eq!(tenants.store.revoke_key(&reach, key.id(), &Who::Dev).await.expect("revoked"), Some(true));
    key
}

#[tokio::test]
async fn every_route_refuses_whoever_has_no_good_key() {
    let tenants = tenants().await;
    let own = tenants.namespace().await;
    let good = tenants.key("*", &Scope::ALL).await;
    let typo = format!("{}{}", &good.reveal()[..64], if good.reveal().ends_with('0') { '1' } else { '0' });
    let cases = [
        ("no key", None),
        ("another scheme", Some(format!("Basic {}", good.reveal()))),
        ("no scheme", Some(good.reveal())),
        ("malformed", Some("Bearer wl_nonsense".to_owned())),
        ("a typing error", Some(format!("Bearer {typo}"))),
        ("another's secret", Some(format!("Bearer {}", mixed(&good, &ApiKey::new())))),
        ("unknown", bearer(&ApiKey::new())),
        ("expired", bearer(&expired(&tenants, "*").await)),
        ("revoked", bearer(&revoked(&tenants, "*").await)),
    ];
    for operation in operations() {
        let path = operation.path(&own, NOBODY, NO_KEY);
        for (case, authorization) in &cases {
            let answer = ask(&tenants, &operation.method, &path, authorization.as_deref()).await;
            let what = format!("{} {path} with {case}: {answer:?}", operation.method);
            assert_eq!((answer.status.as_u16(), answer.code()), (401, "unauthenticated"), "{what}");
            assert_eq!(answer.challenge.as_deref(), Some("Bearer realm=\"windlass\""), "{what}");
        }
        // The very same request with a good key.
        let answer = ask(&tenants, &operation.method, &path, bearer(&good).as_deref()).await;
        assert!(![401, 403].contains(&answer.status.as_u16()), "{} {path}: {answer:?}", operation.method);
    }
}

#[tokio::test]
async fn every_route_is_opened_by_its_scope_and_by_no_other() {
    let tenants = tenants().await;
    let own = tenants.namespace().await;
    for operation in operations() {
        let reach = if operation.is_about_all() { "*" } else { &own };
        let others: Vec<_> = Scope::ALL.into_iter().filter(|scope| *scope != operation.scope).collect();
        let (right, wrong) = (tenants.key(reach, &[operation.scope]).await, tenants.key(reach, &others).await);
        let path = operation.path(&own, NOBODY, NO_KEY);
        let opened = ask(&tenants, &operation.method, &path, bearer(&right).as_deref()).await;
        let what = format!("{} {path}", operation.method);
        assert!(![401, 403].contains(&opened.status.as_u16()), "{what}: {opened:?}");
        assert_ne!(opened.code(), "no-such-namespace", "{what}");
        let refused = ask(&tenants, &operation.method, &path, bearer(&wrong).as_deref()).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "forbidden"), "{what}: {refused:?}");
        let names_it = |detail: &str| detail.contains(&format!("`{}`", operation.scope));
        assert!(refused.body["detail"].as_str().is_some_and(names_it), "{what}: {refused:?}");
        assert!(refused.challenge.is_none());
    }
}

#[tokio::test]
async fn another_s_namespace_is_answered_like_one_that_is_not_there() {
    let tenants = tenants().await;
    let (own, other) = (tenants.namespace().await, tenants.namespace().await);
    let own_key = tenants.key(&own, &Scope::ALL).await;
    // Whether the scope would do is not said either.
    let other_without = tenants.key(&own, &[]).await;
    for operation in operations() {
        let (method, own_key) = (&operation.method, bearer(&own_key));
        if operation.is_about_all() {
            let path = operation.path(&own, NOBODY, NO_KEY);
            let answer = ask(&tenants, method, &path, own_key.as_deref()).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (403, "forbidden"), "{method} {path}: {answer:?}");
            continue;
        }
        for key in [own_key, bearer(&other_without)] {
            let mut answers = Vec::new();
            for namespace in [&*other, "never-was-there", "default", "*", "%2A", "no%20name"] {
                let path = operation.path(namespace, NOBODY, NO_KEY);
                let answer = ask(&tenants, method, &path, key.as_deref()).await;
                assert_eq!((answer.status.as_u16(), answer.code()), (404, "no-such-namespace"), "{method} {path}");
                answers.push(answer);
            }
            assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:?}");
        }
    }
}

#[tokio::test]
async fn what_another_tenant_has_is_answered_on_every_route_like_what_is_not_there() {
    let tenants = tenants().await;
    let (own, other) = (tenants.namespace().await, tenants.namespace().await);
    let victim = tenants.api(&other).await;
    victim.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let run = victim.start("one_of_each", Value::Null).await;
    victim.wait_for_events(&run, 3).await;
    victim.wait_for_state(&run, RunState::Waiting).await;
    let victim_s_key = tenants.key(&other, &Scope::ALL).await.id().to_string();
    let key = tenants.key(&own, &Scope::ALL).await;
    let before = serde_json::to_value(victim.run(&run).await).expect("JSON");
    let mut walked = 0;
    for operation in operations() {
        let method = &operation.method;
        if !operation.path.contains("{run_id}") && !operation.path.contains("{key_id}") {
            continue;
        }
        let theirs = operation.path(&own, &run, &victim_s_key);
        let nothing = operation.path(&own, NOBODY, NO_KEY);
        let answers = [
            ask(&tenants, method, &theirs, bearer(&key).as_deref()).await,
            ask(&tenants, method, &nothing, bearer(&key).as_deref()).await,
        ];
        assert_eq!(answers[0].status, StatusCode::NOT_FOUND, "{method} {theirs}: {answers:?}");
        assert!(answers[0] == answers[1], "{method} {theirs}: {answers:?}");
        walked += 1;
    }
    assert!(walked >= 11, "{walked}");
    let listed = Api::with_key(&tenants.server, &own, &key).get("/runs").await;
    assert_eq!(listed["runs"], json!([]));
    // None of it has touched the run, nor the key.
    assert_eq!(serde_json::to_value(victim.run(&run).await).expect("JSON"), before);
    victim.signal(&run, "go", json!(1)).await;
    assert_eq!(victim.result(&run).await, json!(45));
    let keys = victim.get("/keys").await;
    assert!(keys["keys"].as_array().expect("keys").iter().all(|key| key["revoked_at"].is_null()), "{keys}");
}

#[tokio::test]
async fn without_keys_no_page_on_the_web_gets_through_the_browser_of_whoever_develops() {
    let server = shared().await.server;
    let url = format!("{server}/v1/namespaces/default/runs");
    let port = server.rsplit_once(':').expect("a port").1;
    for (header, value, is_good) in [
        (HOST, format!("127.0.0.1:{port}"), true),
        (HOST, format!("localhost:{port}"), true),
        (HOST, format!("[::1]:{port}"), true),
        (ORIGIN, format!("http://localhost:{port}"), true),
        (ORIGIN, "https://example.com".to_owned(), false),
        (ORIGIN, "null".to_owned(), false),
        (HOST, format!("rebound.example.com:{port}"), false),
        (HOST, format!("127.0.0.1.example.com:{port}"), false),
        (HOST, format!("127.0.0.1:{port}@example.com"), false),
    ] {
        let answer = http().get(&url).header(&header, &value).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), if is_good { 200 } else { 403 }, "{header}: {value}");
    }
}

#[tokio::test]
async fn health_and_the_description_are_open_and_nothing_else_is() {
    let tenants = tenants().await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(ask(&tenants, &Method::GET, path, None).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/", "/v1", "/v1/namespaces/default/", "/v1/namespaces/default/runs/"] {
        assert_eq!(ask(&tenants, &Method::GET, path, None).await.code(), "not-found", "{path}");
    }
    // A header twice is one too many: a proxy may have looked at the other.
    let key = format!("Bearer {}", tenants.key("*", &Scope::ALL).await.reveal());
    let request = tenants.http.get(format!("{}/v1/namespaces", tenants.server));
    let request = request.header(AUTHORIZATION, &key).header(AUTHORIZATION, &key);
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
}
