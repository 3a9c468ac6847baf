//! `POST /v1/namespaces/{namespace}/runs/{run_id}/fork`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{self, Json as Body, Path};
use super::start_run::KEY_LENGTH_MAX;
use super::view::RunView;
use super::{Code, Problem, get_run};
use crate::model::{Namespace, RunId};
use crate::worker::{ForkedRun, Host};

/// Where a run is to be forked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkRun {
    /// The number of the first event that the fork is not to have.
    pub before: u32,
    /// Whether it only begins when it is resumed: so it can be moved to another version before.
    #[serde(default)]
    pub pause: bool,
}

/// Start another run with the history of this one up to an event: from there it goes its own way, whatever this one does. Its calls have
/// keys of their own.
///
/// With the header `Idempotency-Key`, the same request again is the same run.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/fork",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = ForkRun,
    responses(
        (status = 201, body = RunView, description = "Started"),
        (status = 200, body = RunView, description = "Started before by the same request"),
        (status = 404, body = Problem, content_type = "application/problem+json",
         description = "no-such-run, no-such-event; no-such-version: the one that it is on was deleted"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "wrong-state, cannot-rewind, idempotency-conflict"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "storage-full"),
    )
)]
pub(super) async fn fork_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Caller(who): Caller,
    headers: HeaderMap,
    Body(ForkRun { before, pause }): Body<ForkRun>,
) -> Result<Response, Problem> {
    let key = extract::header(&headers, "Idempotency-Key", KEY_LENGTH_MAX)?;
    let forked = host.fork_run(&namespace, run_id, before, (key.as_deref(), pause), &who).await?;
    let (status, fork_id) = match forked {
        ForkedRun::New(fork_id) => (StatusCode::CREATED, fork_id),
        ForkedRun::Before(fork_id) => (StatusCode::OK, fork_id),
        ForkedRun::Conflict(fork_id) => {
            let detail = format!("run {fork_id} has this key, and is no fork of this run before that event");
            return Err(Problem::new(Code::IdempotencyConflict, detail));
        }
    };
    let view = get_run::wait(&host, &host.watchers().watch(fork_id), &namespace, Duration::ZERO, false).await?;
    Ok((status, axum::Json(view)).into_response())
}
