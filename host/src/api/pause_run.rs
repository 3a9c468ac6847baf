//! `POST /v1/namespaces/{namespace}/runs/{run_id}/pause`, `…/resume` and `…/retry`

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use super::auth::Caller;
use super::extract::Path;
use super::view::RunView;
use super::{Problem, get_run};
use crate::model::{Namespace, RunId};
use crate::worker::Host;

/// Pause a run: nobody goes on with it until it is resumed. What is under way of it ends first, and is recorded; what comes
/// for it meanwhile waits. Its deadline goes on.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/pause",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    responses(
        (status = 200, body = RunView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "run-ended, wrong-state"),
    )
)]
pub(super) async fn pause_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Caller(who): Caller,
) -> Result<Json<RunView>, Problem> {
    host.pause_run(&namespace, run_id, &who).await?;
    view(&host, &namespace, run_id).await
}

/// Let a run go on that was paused.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/resume",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    responses(
        (status = 200, body = RunView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "run-ended, wrong-state"),
    )
)]
pub(super) async fn resume_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Caller(who): Caller,
) -> Result<Json<RunView>, Problem> {
    host.resume_run(&namespace, run_id, &who).await?;
    view(&host, &namespace, run_id).await
}

/// Try again what a run has failed at: it is rewound to before its last event, if that was a failure. Or go on with a run that was
/// quarantined, after what was wrong has been mended: its history is as it was, and so is its version.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/retry",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    responses(
        (status = 200, body = RunView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "wrong-state; cannot-rewind: its last event is no failure, or that of a child"),
    )
)]
pub(super) async fn retry_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Caller(who): Caller,
) -> Result<Json<RunView>, Problem> {
    host.retry_run(&namespace, run_id, &who).await?;
    view(&host, &namespace, run_id).await
}

async fn view(host: &Host, namespace: &Namespace, run_id: RunId) -> Result<Json<RunView>, Problem> {
    Ok(Json(get_run::wait(host, &host.watchers().watch(run_id), namespace, Duration::ZERO, false).await?))
}
