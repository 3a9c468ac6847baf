//! `DELETE /v1/namespaces/{namespace}/keys/{key_id}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::auth::Caller;
use super::extract::Path;
use super::send_signal::Accepted;
use crate::model::{KeyId, Reach};
use crate::worker::Host;

/// Revoke a key for good. No host takes it any more a second later, and what it has open is closed.
#[utoipa::path(
    delete,
    path = "/v1/namespaces/{namespace}/keys/{key_id}",
    tag = "keys",
    params(("namespace" = String, Path), ("key_id" = String, Path)),
    responses(
        (status = 200, body = Accepted, description = "It is revoked, now or before"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-key"),
    )
)]
pub(super) async fn revoke_key(
    State(host): State<Arc<Host>>,
    Path((reach, key_id)): Path<(Reach, KeyId)>,
    Caller(who): Caller,
) -> Result<Json<Accepted>, Problem> {
    let revoked = host.store.revoke_key(&reach, key_id, &who).await?;
    let is_new = revoked.ok_or_else(Problem::no_such_key)?;
    Ok(Json(Accepted { is_new }))
}
