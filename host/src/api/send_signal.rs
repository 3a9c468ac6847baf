//! `POST /v1/namespaces/{namespace}/runs/{run_id}/signals/{name}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::{self, Body, Path};
use super::start_run::KEY_LENGTH_MAX;
use crate::model::{Name, Namespace, Payload, RunId};
use crate::worker::Host;

/// A signal or a request that was accepted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Accepted {
    /// Whether it is a new one; if not, the same was accepted before, and nothing has changed.
    pub is_new: bool,
}

/// Send a signal to a run. The body is its payload: one JSON document; none is `null`.
///
/// With the header `Idempotency-Key`, the same key again is the same signal.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/signals/{name}",
    tag = "runs",
    params(
        ("namespace" = String, Path), ("run_id" = String, Path), ("name" = String, Path),
        ("Idempotency-Key" = Option<String>, Header),
    ),
    request_body(content_type = "application/json", content = serde_json::Value),
    responses(
        (status = 200, body = Accepted, description = "It is in the run's inbox"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "run-ended, inbox-full"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "storage-full"),
    )
)]
pub(super) async fn send_signal(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id, name)): Path<(Namespace, RunId, Name)>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Json<Accepted>, Problem> {
    let signal_id = extract::header(&headers, "Idempotency-Key", KEY_LENGTH_MAX)?;
    let payload = if body.is_empty() { Payload::null() } else { extract::payload(body, &host, &namespace).await? };
    let sent = host.send_signal(&namespace, run_id, &name, &payload, signal_id.as_deref()).await?;
    Ok(Json(Accepted { is_new: sent.accepted }))
}
