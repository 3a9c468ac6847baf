//! `GET /v1/namespaces/{namespace}/runs/{run_id}/logs`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::Path;
use super::view::LogView;
use crate::model::{Namespace, RunId};
use crate::worker::Host;

/// Most lines in one answer.
const LIMIT: u32 = 10_000;

/// The log of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Logs {
    /// Oldest first; the first 10,000.
    pub lines: Vec<LogView>,
}

/// What a run and its steps have logged.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/logs",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    responses(
        (status = 200, body = Logs),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
    )
)]
pub(super) async fn get_logs(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
) -> Result<Json<Logs>, Problem> {
    if host.store.get_run(&namespace, run_id).await?.is_none() {
        return Err(Problem::no_such_run());
    }
    let lines = host.store.logs(run_id, None, LIMIT).await?;
    Ok(Json(Logs { lines: lines.into_iter().map(Into::into).collect() }))
}
