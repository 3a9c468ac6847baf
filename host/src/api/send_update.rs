//! `POST /v1/namespaces/{namespace}/runs/{run_id}/updates/{name}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{self, Body, Path, Query, Wait};
use super::start_run::KEY_LENGTH_MAX;
use super::view::FailureView;
use super::{Code, Problem};
use crate::model::{Failure, Name, Namespace, Outcome, Payload, RunId, Timestamp};
use crate::store::Update;
use crate::worker::Host;

/// An update, and how it was answered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct UpdateView {
    /// Its id: the idempotency key that it was sent with, or one of the host's making.
    pub update_id: String,
    /// Its name.
    pub name: String,
    /// The answer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub result: Option<Payload>,
    /// The answer, if it is a failure.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<FailureView>)]
    pub failure: Option<Failure>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub accepted_at: Timestamp,
    /// When it was answered; not there while it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub answered_at: Option<Timestamp>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Answer when the update is answered, but no later than after this long, a minute at most.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "30s")]
    wait: Wait,
}

/// Ask a run for something, and get the answer of its workflow. The body is the payload: one JSON document; none is `null`.
///
/// With the header `Idempotency-Key`, the same key again is the same update, with the same answer.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/updates/{name}",
    tag = "runs",
    params(
        ("namespace" = String, Path), ("run_id" = String, Path), ("name" = String, Path),
        ("Idempotency-Key" = Option<String>, Header), Parameters,
    ),
    request_body(content_type = "application/json", content = serde_json::Value),
    responses(
        (status = 200, body = UpdateView, description = "It is answered"),
        (status = 202, body = UpdateView, description = "It is in the run's inbox, and not answered yet: send it again to wait"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
        (status = 409, body = Problem, content_type = "application/problem+json",
            description = "run-ended, also without an answer; inbox-full; idempotency-conflict"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "storage-full"),
    )
)]
pub(super) async fn send_update(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id, name)): Path<(Namespace, RunId, Name)>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<(StatusCode, Json<UpdateView>), Problem> {
    let key = extract::header(&headers, "Idempotency-Key", KEY_LENGTH_MAX)?;
    let update_id = key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let payload = if body.is_empty() { Payload::null() } else { extract::payload(body, &host, &namespace).await? };
    host.send_update(&namespace, run_id, &name, &payload, &update_id).await?;
    let update = host.wait_for_answer(&namespace, run_id, &update_id, parameters.wait.0).await?;
    let Update { name, answer, accepted_at, answered_at, has_ended } = update.ok_or_else(Problem::no_such_run)?;
    if answer.is_none() && has_ended {
        return Err(Problem::new(Code::RunEnded, "the run has ended without an answer to the update"));
    }
    let status = if answer.is_some() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let (result, failure) = match answer {
        Some(Outcome::Ok(result)) => (Some(result), None),
        Some(Outcome::Failed(failure)) => (None, Some(failure)),
        None => (None, None),
    };
    Ok((status, Json(UpdateView { update_id, name, result, failure, accepted_at, answered_at })))
}
