//! Talking to a host.

use std::time::Duration;

use eventsource_stream::{Event, Eventsource as _};
use futures_util::{Stream, StreamExt as _};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::api::Problem;
use crate::api::view::RunView;
use crate::model::Namespace;

/// A host, and a namespace on it.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    base: String,
    /// Print JSON.
    pub(super) json: bool,
}

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("no host answers at {server}: {reason}. Is one running? `windlass dev` starts one; --server names another")]
    Unreachable { server: String, reason: String },
    #[error("{}: {}", .0.code, .0.detail)]
    Refused(Problem),
    #[error("the host answered with something that this version does not understand: {0}")]
    NotUnderstood(String),
}

impl ClientError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => 3,
            Self::Refused(_) | Self::NotUnderstood(_) => 4,
        }
    }
}

/// How long one request waits for a run; then the next does.
const WAIT: Duration = Duration::from_secs(30);

impl Client {
    pub(super) fn new(server: &str, namespace: &Namespace, json: bool) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).build()?;
        let server = server.trim_end_matches('/').to_owned();
        let base = format!("{server}/v1/namespaces/{namespace}");
        Ok(Self { http, server, base, json })
    }

    /// A request to an address below the namespace.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Send it; the answer is JSON.
    pub(super) async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.answer(request).await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::NotUnderstood(error.to_string()))
    }

    /// Get something.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(self.request(Method::GET, path)).await
    }

    /// A run when it has ended, however long that takes.
    pub(super) async fn wait_for_end(&self, run_id: &str) -> Result<RunView, ClientError> {
        loop {
            let request = self
                .request(Method::GET, &format!("/runs/{run_id}"))
                .query(&[("wait", format!("{}s", WAIT.as_secs()))]);
            let run: RunView = self.send(request).await?;
            if run.closed_at.is_some() || run.report.is_some() {
                return Ok(run);
            }
        }
    }

    /// Server-sent events.
    pub(super) async fn follow(
        &self,
        path: &str,
    ) -> Result<impl Stream<Item = Result<Event, ClientError>> + Unpin + use<>, ClientError> {
        let response = self.answer(self.request(Method::GET, path)).await?;
        let server = self.server.clone();
        let lost = move |error: eventsource_stream::EventStreamError<reqwest::Error>| ClientError::Unreachable {
            server: server.clone(),
            reason: error.to_string(),
        };
        Ok(response.bytes_stream().eventsource().map(move |event| event.map_err(&lost)).boxed())
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(match serde_json::from_str(&text) {
            Ok(problem) => ClientError::Refused(problem),
            Err(_) => ClientError::NotUnderstood(explain(status, &text)),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        // The last cause says it best: "Connection refused".
        let mut reason: &dyn std::error::Error = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        ClientError::Unreachable { server: self.server.clone(), reason: reason.to_string() }
    }
}

fn explain(status: StatusCode, text: &str) -> String {
    let beginning: String = text.chars().take(200).collect();
    format!("{status}: {beginning}")
}
