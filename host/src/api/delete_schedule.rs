//! `DELETE /v1/namespaces/{namespace}/schedules/{name}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::Problem;
use super::auth::Caller;
use super::extract::Path;
use super::schedules::no_such_schedule;
use crate::model::{Name, Namespace};
use crate::worker::Host;

/// Forget a schedule. Runs that it has started go on.
#[utoipa::path(
    delete,
    path = "/v1/namespaces/{namespace}/schedules/{name}",
    tag = "schedules",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-schedule"),
    )
)]
pub(super) async fn delete_schedule(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path((namespace, name)): Path<(Namespace, Name)>,
) -> Result<StatusCode, Problem> {
    if host.delete_schedule(&namespace, &name, &who).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(no_such_schedule())
    }
}
