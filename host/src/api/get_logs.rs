//! `GET /v1/namespaces/{namespace}/runs/{run_id}/logs`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::extract::{Path, Query, Wait};
use super::view::LogView;
use crate::model::{Level, Namespace, RunId};
use crate::worker::Host;

/// Most lines in one answer.
const LIMIT: u32 = 1_000;

/// A page of the log of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Logs {
    /// Oldest first; 1,000 at most.
    pub lines: Vec<LogView>,
    /// What to give as `after` for the lines that come next.
    pub next: i64,
    /// Whether there will be no more: the run has ended, and these are its last.
    pub is_over: bool,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Only lines after this one: `next` of the last page.
    #[serde(default)]
    after: i64,
    /// Only lines that matter at least so much: `debug`, `info`, `warn`, `error`.
    #[serde(default = "debug")]
    level: Level,
    /// If there is none yet, wait for one, but no longer than this, a minute at most.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "30s")]
    wait: Wait,
}

fn debug() -> Level {
    Level::Debug
}

/// What a run and its steps have logged.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/logs",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path), Parameters),
    responses(
        (status = 200, body = Logs),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
    )
)]
pub(super) async fn get_logs(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Query(Parameters { after, level, wait }): Query<Parameters>,
) -> Result<Json<Logs>, Problem> {
    let (lines, has_ended) = host.wait_for_lines(&namespace, run_id, (after, level, LIMIT), wait.0).await?;
    let next = lines.last().map_or(after, |line| line.id);
    let is_over = has_ended && lines.len() < LIMIT as usize;
    Ok(Json(Logs { lines: lines.into_iter().map(Into::into).collect(), next, is_over }))
}
