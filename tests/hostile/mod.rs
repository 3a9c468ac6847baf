//! Guests that want to hurt their host or their neighbours. `docs/limits.md` says what stops them.
//!
//! Here are those that are stopped at once; `cargo hostile` runs all of them against a host in a process of its own, and measures
//! what they do to it.

mod breeding;
mod calls;
mod case;
mod component;
mod escapes;
mod limits;
mod outbound;
mod outside;
mod resources;
mod rust;
mod secrets;
mod service;
mod ssrf;
mod uploads;
mod uploads_case;
mod uploads_compiler;
mod uploads_programs;
mod uploads_shapes;
mod values;

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream;
use reqwest::Method;

use crate::harness::api::Api;
use crate::harness::shared::shared;
use case::corpus;

/// A namespace on a host, with limits of its own.
async fn namespace(server: &str, name: &str, limits: serde_json::Value) -> Api {
    let mut api = Api::new(server);
    api.base = format!("{server}/v1/namespaces/{name}");
    let put = api.request(Method::PUT, "", limits.to_string()).await;
    assert!(put.status().is_success(), "{}", put.text().await.unwrap_or_default());
    api
}

#[test]
fn the_corpus_is_large_and_no_two_are_called_the_same() {
    let corpus = corpus();
    let vectors: BTreeSet<_> = corpus.iter().map(|case| case.vector).collect();
    let names: BTreeSet<_> = corpus.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), corpus.len());
    assert!(corpus.len() >= 120 && vectors.len() >= 30, "{} guests, {} vectors", corpus.len(), vectors.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_guest_comes_to_its_verdict_and_the_host_lives() {
    let shared = shared().await;
    let api = &namespace(&shared.server, "hostile", case::limits()).await;
    let quick: Vec<_> = corpus().into_iter().filter(|case| !case.is_slow).collect();
    let checks = stream::iter(&quick).map(|case| case.check(api)).buffer_unordered(4);
    let wrong: Vec<_> = checks.filter_map(async |result| result.err()).collect().await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), quick.len(), wrong.join("\n"));
    let honest = &shared.api;
    assert_eq!(honest.result(&honest.start("steps", serde_json::json!(5)).await).await, 20);
}

#[tokio::test]
async fn a_component_of_more_parts_than_its_namespace_may_have_is_refused() {
    let server = shared().await.server;
    for (limit, most) in [("tables", 2), ("memories", 0), ("instances", 0)] {
        let limits = serde_json::json!({ "limits": { limit: most } });
        let api = namespace(&server, &format!("few-{limit}"), limits).await;
        let tables = corpus().into_iter().find(|case| case.name == "several-large-tables").expect("it is there");
        let problem = api.deploy(tables.component(), "").await.expect_err("too many");
        assert_eq!(problem.code, "describe-trapped");
        assert!(problem.detail.contains("count too high"), "{limit}: {}", problem.detail);
        assert!(problem.detail.contains(&format!("({limit})")), "{}", problem.detail);
    }
}
