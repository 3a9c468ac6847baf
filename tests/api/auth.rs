//! The wall: every route with every kind of key.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use windlass_host::model::{ApiKey, Reach, Scope, Who};
use windlass_host::store::NewKey;

use super::operations::{NOTHING, Operation, operations};
use crate::harness::api::http;
use crate::harness::shared::shared;
use crate::harness::tenants::{Tenants, tenants};

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

async fn ask(tenants: &Tenants, operation: &Operation, address: &str, authorization: Option<&str>) -> Answer {
    let request = tenants.http.request(operation.method.clone(), format!("{}{address}", tenants.server));
    let request = request.header("Content-Type", "application/json").body(operation.body(NOTHING));
    answer(match authorization {
        Some(value) => request.header(AUTHORIZATION, value),
        None => request,
    })
    .await
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    let challenge = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().expect("text").to_owned());
    let status = response.status();
    let text = response.text().await.expect("a body");
    Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)), challenge }
}

async fn get(tenants: &Tenants, path: &str) -> Answer {
    answer(tenants.http.get(format!("{}{path}", tenants.server))).await
}

fn bearer(key: &ApiKey) -> Option<String> {
    Some(format!("Bearer {}", key.reveal()))
}

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
        let path = operation.address(&own, NOTHING);
        for (case, authorization) in &cases {
            let answer = ask(&tenants, &operation, &path, authorization.as_deref()).await;
            let what = format!("{} {path} with {case}: {answer:?}", operation.method);
            assert_eq!((answer.status.as_u16(), answer.code()), (401, "unauthenticated"), "{what}");
            assert_eq!(answer.challenge.as_deref(), Some("Bearer realm=\"windlass\""), "{what}");
        }
        // The very same request with a good key.
        let answer = ask(&tenants, &operation, &path, bearer(&good).as_deref()).await;
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
        let path = operation.address(&own, NOTHING);
        let opened = ask(&tenants, &operation, &path, bearer(&right).as_deref()).await;
        let what = format!("{} {path}", operation.method);
        assert!(![401, 403].contains(&opened.status.as_u16()), "{what}: {opened:?}");
        assert_ne!(opened.code(), "no-such-namespace", "{what}");
        let refused = ask(&tenants, &operation, &path, bearer(&wrong).as_deref()).await;
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
            let path = operation.address(&own, NOTHING);
            let answer = ask(&tenants, &operation, &path, own_key.as_deref()).await;
            assert_eq!((answer.status.as_u16(), answer.code()), (403, "forbidden"), "{method} {path}: {answer:?}");
            continue;
        }
        for key in [own_key, bearer(&other_without)] {
            let mut answers = Vec::new();
            for namespace in [&*other, "never-was-there", "default", "*", "%2A", "no%20name"] {
                let path = operation.address(namespace, NOTHING);
                let answer = ask(&tenants, &operation, &path, key.as_deref()).await;
                assert_eq!((answer.status.as_u16(), answer.code()), (404, "no-such-namespace"), "{method} {path}");
                answers.push(answer);
            }
            assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:?}");
        }
    }
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
        assert_eq!(get(&tenants, path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/", "/v1", "/v1/namespaces/default/", "/v1/namespaces/default/runs/"] {
        assert_eq!(get(&tenants, path).await.code(), "not-found", "{path}");
    }
    // A header twice is one too many: a proxy may have looked at the other.
    let key = format!("Bearer {}", tenants.key("*", &Scope::ALL).await.reveal());
    let request = tenants.http.get(format!("{}/v1/namespaces", tenants.server));
    let request = request.header(AUTHORIZATION, &key).header(AUTHORIZATION, &key);
    assert_eq!(request.send().await.expect("an answer").status(), StatusCode::UNAUTHORIZED);
}
