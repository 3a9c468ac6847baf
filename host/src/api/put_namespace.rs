//! `PUT /v1/namespaces/{namespace}`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::auth::Caller;
use super::extract::{Json, Path};
use super::view::NamespaceView;
use crate::model::{Namespace, RetentionChange, parse_limit};
use crate::worker::Host;

/// What a namespace is to have of its own, and how its payloads are kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutNamespace {
    /// Limits by name (`docs/limits.md`): a whole number, or a text with a unit such as `32MiB` or `5s`; `null` is the host's own
    /// limit again. What is not named stays as it is.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({ "memory_bytes": "32MiB", "open_calls": 100 }))]
    pub limits: BTreeMap<String, Option<LimitValue>>,
    /// Whether payloads that are kept from now on are sealed in the database; it stays as it is if it is not said. What is there
    /// already stays as it is, and readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_payloads: Option<bool>,
    /// How long it keeps what has ended (`docs/retention.md`). What is not named stays as it is.
    #[serde(default, skip_serializing_if = "RetentionChange::is_empty")]
    pub retention: RetentionChange,
}

/// A limit, as people write it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LimitValue {
    /// In the limit's own unit.
    Number(u64),
    /// With a unit.
    Text(String),
}

/// Create a namespace, or change its limits. Takes a key for all namespaces. It can be given less than the host allows or as much, and never more.
#[utoipa::path(
    put,
    path = "/v1/namespaces/{namespace}",
    tag = "namespaces",
    params(("namespace" = String, Path)),
    request_body = PutNamespace,
    responses(
        (status = 201, body = NamespaceView, description = "Created"),
        (status = 200, body = NamespaceView, description = "Changed"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "no-master-key, no-archive-store"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "no-such-limit, limit-too-high, bad-retention"),
    )
)]
pub(super) async fn put_namespace(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path(namespace): Path<Namespace>,
    Json(request): Json<PutNamespace>,
) -> Result<(StatusCode, axum::Json<NamespaceView>), Problem> {
    let mut limits = Vec::with_capacity(request.limits.len());
    for (name, value) in request.limits {
        let number = match value {
            None => None,
            Some(LimitValue::Number(number)) => Some(number),
            Some(LimitValue::Text(text)) => Some(parse_limit(&name, &text)?),
        };
        limits.push((name, number));
    }
    let is_new = host.put_namespace(&namespace, &limits, request.seal_payloads, &request.retention, &who).await?;
    let view = NamespaceView::new(host.get_namespace(&namespace).await?, host.default_limits());
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, axum::Json(view)))
}
