//! `POST /v1/namespaces/{namespace}/runs/{run_id}/cancel`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::auth::Caller;
use super::extract::Path;
use super::send_signal::Accepted;
use crate::model::{Namespace, RunId};
use crate::worker::Host;

/// Ask a run to stop. It is told; it cleans up, and ends when it is done with that.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/cancel",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    responses(
        (status = 200, body = Accepted),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "run-ended"),
    )
)]
pub(super) async fn cancel_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Caller(who): Caller,
) -> Result<Json<Accepted>, Problem> {
    let sent = host.request_cancel(&namespace, run_id, &who).await?;
    Ok(Json(Accepted { is_new: sent.accepted }))
}
