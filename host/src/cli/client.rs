//! Talking to a host.

use std::path::Path;
use std::time::Duration;

use eventsource_stream::{Event, Eventsource as _};
use futures_util::{Stream, StreamExt as _};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio_rustls::rustls;

use super::trust;
use crate::api::Problem;
use crate::api::view::RunView;
use crate::model::{ApiKey, Namespace};

/// A host, and a namespace on it.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    server: String,
    base: String,
    /// The namespace.
    pub(super) namespace: Namespace,
    /// Print JSON.
    pub(super) json: bool,
}

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("no host answers at {server}: {reason}. Is one running? `windlass dev` starts one; --server names another")]
    Unreachable { server: String, reason: String },
    #[error(
        "the host at {server} does not show that it is that host: {reason}. If its certificate is of an authority that this \
         system does not know, --ca-file names the authority's own"
    )]
    NotTrusted { server: String, reason: String },
    #[error("{}: {}", .0.code, .0.detail)]
    Refused(Problem),
    #[error("the host answered with something that this version does not understand: {0}")]
    NotUnderstood(String),
}

impl ClientError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::NotTrusted { .. } => 3,
            Self::Refused(_) | Self::NotUnderstood(_) => 4,
        }
    }
}

/// How long one request waits for a run; then the next does.
const WAIT: Duration = Duration::from_secs(30);

impl Client {
    /// `api_key`: sent with each request. It is not sent on to another address that an answer points to.
    pub(super) fn new(
        server: &str,
        namespace: &Namespace,
        api_key: Option<&ApiKey>,
        ca_file: Option<&Path>,
        json: bool,
    ) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        if let Some(key) = api_key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.reveal()))?;
            // So that nothing prints it.
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).default_headers(headers);
        let http = http.tls_backend_preconfigured(trust::tls(ca_file)?).build()?;
        let server = server.trim_end_matches('/').to_owned();
        let base = format!("{server}/v1/namespaces/{namespace}");
        Ok(Self { http, server, base, namespace: namespace.clone(), json })
    }

    /// A request to an address below all namespaces.
    pub(super) fn request_of_all(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/v1/namespaces{path}", self.server))
    }

    /// A request to an address below the namespace.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// A request to an address outside the namespace.
    pub(super) fn request_outside(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server))
    }

    /// Send it; the answer is JSON.
    pub(super) async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.answer(request).await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::NotUnderstood(error.to_string()))
    }

    /// Send it; there is nothing to read in the answer.
    pub(super) async fn tell(&self, request: RequestBuilder) -> Result<(), ClientError> {
        self.answer(request).await.map(drop)
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
        let mut reason: &(dyn std::error::Error + 'static) = error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        let is_tls = is_about_certificates(reason);
        let (server, reason) = (self.server.clone(), reason.to_string());
        if is_tls { ClientError::NotTrusted { server, reason } } else { ClientError::Unreachable { server, reason } }
    }
}

/// An I/O error hands on the cause of what it holds, and not what it holds.
fn is_about_certificates(mut error: &(dyn std::error::Error + 'static)) -> bool {
    while let Some(held) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        error = held;
    }
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_)))
}

fn explain(status: StatusCode, text: &str) -> String {
    let beginning: String = text.chars().take(200).collect();
    format!("{status}: {beginning}")
}
