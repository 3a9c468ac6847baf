//! `POST /v1/namespaces/{namespace}/runs/{run_id}/terminate`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Json as Body, Path};
use super::view::RunView;
use super::{Problem, get_run};
use crate::model::{Failure, Namespace, RunId, code};
use crate::worker::Host;

/// Why a run is to be ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Terminate {
    /// For people: the message of the run's failure.
    #[serde(default)]
    pub reason: String,
}

/// End a run at once, whatever it is at and without asking it. It fails with `terminated`; nothing is cleaned up, and its
/// children are asked to stop. A run that is quarantined can be ended so.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/terminate",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    request_body = Terminate,
    responses(
        (status = 200, body = RunView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "run-ended"),
    )
)]
pub(super) async fn terminate_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Caller(who): Caller,
    Body(Terminate { mut reason }): Body<Terminate>,
) -> Result<Json<RunView>, Problem> {
    if reason.is_empty() {
        reason.push_str("somebody ended the run from outside");
    }
    reason.truncate(reason.floor_char_boundary(Failure::MESSAGE_LENGTH_MAX));
    host.terminate_run(&namespace, run_id, &Failure::fatal(code::TERMINATED, reason), &who).await?;
    Ok(Json(get_run::wait(&host, &host.watchers().watch(run_id), &namespace, std::time::Duration::ZERO, false).await?))
}
