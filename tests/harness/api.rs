//! A client of a host's API, for tests.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use windlass_host::api::view::{EventView, RunView};
use windlass_host::api::{Deployed, History, Problem};
use windlass_host::model::{ApiKey, RunState};

use super::eventually;

/// An HTTP client. It would do without TLS, but is built with it for the sake of the host that downloads PostgreSQL.
pub fn http() -> Client {
    // Whoever is not the first finds it installed.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

/// The API of a host, and a namespace on it.
#[derive(Clone, Debug)]
pub struct Api {
    pub base: String,
    http: Client,
}

impl Api {
    pub fn new(server: &str) -> Self {
        Self { base: format!("{server}/v1/namespaces/default"), http: http() }
    }

    /// The same host, and another namespace on it.
    pub fn in_namespace(&self, namespace: &str) -> Self {
        let server = self.base.trim_end_matches("/v1/namespaces/default");
        Self { base: format!("{server}/v1/namespaces/{namespace}"), http: self.http.clone() }
    }

    /// As whoever has this key sees it.
    pub fn with_key(server: &str, namespace: &str, key: &ApiKey) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {}", key.reveal()).parse().expect("a header"));
        // Installs what it needs to be built.
        drop(http());
        let http = Client::builder().default_headers(headers).build().expect("a client");
        Self { base: format!("{server}/v1/namespaces/{namespace}"), http }
    }

    pub async fn request(&self, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request.header("Content-Type", "application/json").body(body);
        request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A POST with an idempotency key.
    pub async fn post_once(&self, path: &str, key: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.http.post(format!("{}{path}", self.base)).header("Idempotency-Key", key).json(body);
        let response = request.send().await.unwrap_or_else(|error| panic!("{path}: {error}"));
        (response.status(), response.json().await.expect("JSON"))
    }

    pub async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path, "").await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.expect("JSON")
    }

    pub async fn deploy(&self, bytes: Vec<u8>, grant_http: &str) -> Result<Deployed, Problem> {
        self.deploy_with(&format!("grant_http={grant_http}"), bytes).await
    }

    pub async fn deploy_as(&self, name: &str, bytes: Vec<u8>) -> Result<Deployed, Problem> {
        self.deploy_with(&format!("name={name}"), bytes).await
    }

    async fn deploy_with(&self, query: &str, bytes: Vec<u8>) -> Result<Deployed, Problem> {
        let mut response = self.request(Method::POST, &format!("/components?{query}"), bytes.clone()).await;
        // A machine that is at its end may keep a database from answering within ten seconds: what a person is told to do then.
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            eprintln!("tried again: {}", response.text().await.unwrap_or_default());
            response = self.request(Method::POST, &format!("/components?{query}"), bytes).await;
        }
        if response.status().is_success() {
            return Ok(response.json().await.expect("a deployment"));
        }
        Err(response.json().await.expect("a problem"))
    }

    pub async fn start(&self, workflow: &str, input: Value) -> String {
        self.start_with(json!({ "workflow": workflow, "input": input })).await.run_id
    }

    pub async fn start_with(&self, body: Value) -> RunView {
        let response = self.request(Method::POST, "/runs", body.to_string()).await;
        assert_eq!(response.status(), StatusCode::CREATED, "{}", response.text().await.unwrap_or_default());
        response.json().await.expect("a run")
    }

    pub async fn run(&self, run_id: &str) -> RunView {
        serde_json::from_value(self.get(&format!("/runs/{run_id}")).await).expect("a run")
    }

    /// The run when it has ended.
    pub async fn end(&self, run_id: &str) -> RunView {
        for _ in 0..4 {
            let run: RunView =
                serde_json::from_value(self.get(&format!("/runs/{run_id}?wait=15s")).await).expect("a run");
            if run.closed_at.is_some() || run.report.is_some() {
                return run;
            }
        }
        panic!("the run has not ended: {:?}", self.run(run_id).await);
    }

    /// The result of a run that completes.
    pub async fn result(&self, run_id: &str) -> Value {
        let run = self.end(run_id).await;
        assert_eq!(run.state, RunState::Completed, "{run:?} {}", document(&run));
        document(&run)
    }

    pub async fn history(&self, run_id: &str) -> History {
        serde_json::from_value(self.get(&format!("/runs/{run_id}/history")).await).expect("a history")
    }

    /// `kind name` of each event.
    pub async fn event_names(&self, run_id: &str) -> Vec<String> {
        let name = |event: EventView| format!("{} {}", event.kind, event.name).trim().to_owned();
        self.history(run_id).await.events.into_iter().map(name).collect()
    }

    pub async fn signal(&self, run_id: &str, name: &str, payload: Value) -> Response {
        self.request(Method::POST, &format!("/runs/{run_id}/signals/{name}"), payload.to_string()).await
    }

    pub async fn terminate(&self, run_id: &str, reason: &str) -> RunView {
        let body = json!({ "reason": reason }).to_string();
        let response = self.request(Method::POST, &format!("/runs/{run_id}/terminate"), body).await;
        response.json().await.expect("a run")
    }

    pub async fn cancel(&self, run_id: &str) -> Response {
        self.request(Method::POST, &format!("/runs/{run_id}/cancel"), "").await
    }

    pub async fn logs(&self, run_id: &str) -> Vec<String> {
        let logs = self.get(&format!("/runs/{run_id}/logs")).await;
        let lines = logs["lines"].as_array().expect("lines");
        lines.iter().map(|line| line["message"].as_str().expect("a message").to_owned()).collect()
    }

    pub async fn wait_for_state(&self, run_id: &str, state: RunState) -> RunView {
        eventually(&format!("run {run_id} is {}", state.as_str()), async || {
            Some(self.run(run_id).await).filter(|run| run.state == state)
        })
        .await
    }

    pub async fn wait_for_events(&self, run_id: &str, count: u32) {
        eventually(&format!("run {run_id} has {count} events"), async || {
            (self.run(run_id).await.events >= count).then_some(())
        })
        .await;
    }

    /// Whether the host answers at all.
    pub async fn answers(&self) -> bool {
        let request = self.http.get(format!("{}/runs", self.base)).timeout(Duration::from_secs(1));
        request.send().await.is_ok()
    }
}

/// Whatever a run has come to.
pub fn document(run: &RunView) -> Value {
    let document = run.result.as_ref().or(run.failure.as_ref()).or(run.report.as_ref());
    document.map_or(Value::Null, |document| serde_json::from_str(document.as_str()).expect("JSON"))
}
