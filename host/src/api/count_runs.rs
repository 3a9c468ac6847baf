//! `GET /v1/namespaces/{namespace}/runs/count`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::{Path, Query};
use super::run_filter::filter_parameters;
use crate::model::Namespace;
use crate::worker::Host;

filter_parameters! {
    pub(super) struct Parameters {}
}

/// Runs are counted up to here.
const COUNT_MAX: u32 = 10_000;

/// How many runs there are.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunCountView {
    /// So many.
    pub runs: u32,
    /// Whether those are all: no more than 10,000 are counted, and no more than 20,000 looked at. Else there are at least so many.
    pub is_exact: bool,
}

/// How many runs of a namespace have all that is asked for.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs/count",
    tag = "runs",
    params(("namespace" = String, Path), Parameters),
    responses((status = 200, body = RunCountView))
)]
pub(super) async fn count_runs(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<RunCountView>, Problem> {
    let count = host.store.count_runs(&namespace, &parameters.filter()?, COUNT_MAX).await?;
    Ok(Json(RunCountView { runs: count.runs, is_exact: count.is_exact }))
}
