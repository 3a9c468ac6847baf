//! `GET /v1/namespaces/{namespace}/runs/{run_id}`

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Problem;
use super::extract::{Path, Query, Wait};
use super::view::RunView;
use crate::model::{Namespace, RunId};
use crate::store::Watcher;
use crate::worker::{Host, Waited};

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Answer when the run has ended, but no later than after this long, a minute at most.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "30s")]
    wait: Wait,
}

/// Where a run stands.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs/{run_id}",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path), Parameters),
    responses(
        (status = 200, body = RunView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
    )
)]
pub(super) async fn get_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<RunView>, Problem> {
    Ok(Json(wait(&host, &host.watchers().watch(run_id), &namespace, parameters.wait.0, false).await?))
}

/// The run that is watched when it has ended, or as it is after `timeout`.
pub(super) async fn wait(
    host: &Host,
    watcher: &Watcher,
    namespace: &Namespace,
    timeout: Duration,
    has_begun: bool,
) -> Result<RunView, Problem> {
    match host.wait_for_end(watcher, namespace, timeout, has_begun).await? {
        Waited::Ended(run) | Waited::StillOpen(run) => Ok(run.into()),
        Waited::NoSuchRun => Err(Problem::no_such_run()),
    }
}
