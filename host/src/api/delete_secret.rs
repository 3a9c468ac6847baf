//! `DELETE /v1/namespaces/{namespace}/secrets/{name}`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;

use super::auth::Caller;
use super::extract::Path;
use super::{Code, Problem};
use crate::model::{Name, Namespace};
use crate::worker::Host;

/// Forget a secret. After a second no host sends it any more.
#[utoipa::path(
    delete,
    path = "/v1/namespaces/{namespace}/secrets/{name}",
    tag = "secrets",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-secret"),
    )
)]
pub(super) async fn delete_secret(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path((namespace, name)): Path<(Namespace, Name)>,
) -> Result<StatusCode, Problem> {
    if host.secrets.delete(&namespace, &name, &who).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(Code::NoSuchSecret, "check its name, and the namespace in the address"))
}
