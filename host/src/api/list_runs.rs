//! `GET /v1/namespaces/{namespace}/runs`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query, parse};
use super::view::RunListingView;
use super::{Code, Problem};
use crate::model::{Name, Namespace, RunState, Timestamp};
use crate::store::RunFilter;
use crate::worker::Host;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Of this workflow only.
    #[param(value_type = Option<String>)]
    workflow: Option<Name>,
    /// In this state only.
    state: Option<RunState>,
    /// How many at most, up to 200.
    #[serde(default = "limit_default")]
    #[param(default = 50)]
    limit: u32,
    /// `next` of the page before.
    cursor: Option<String>,
}

const LIMIT_MAX: u32 = 200;

fn limit_default() -> u32 {
    50
}

/// A page of runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// Newest first.
    pub runs: Vec<RunListingView>,
    /// The cursor of the next page; none after the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// The runs of a namespace, newest first.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs",
    tag = "runs",
    params(("namespace" = String, Path), Parameters),
    responses((status = 200, body = RunPage))
)]
pub(super) async fn list_runs(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<RunPage>, Problem> {
    let after = parameters.cursor.as_deref().map(decode).transpose()?;
    let filter = RunFilter { workflow: parameters.workflow, state: parameters.state, after };
    let limit = parameters.limit.clamp(1, LIMIT_MAX);
    // One more than asked tells whether there is another page.
    let mut runs = host.store.list_runs(&namespace, &filter, limit + 1).await?;
    let more = runs.len() > limit as usize;
    runs.truncate(limit as usize);
    let next = runs.last().filter(|_| more).map(|run| format!("{}_{}", run.started_at.as_micros(), run.run_id));
    Ok(Json(RunPage { runs: runs.into_iter().map(Into::into).collect(), next }))
}

fn decode(cursor: &str) -> Result<(Timestamp, crate::model::RunId), Problem> {
    let invalid = || Problem::new(Code::BadRequest, "cursor: take it from `next` of the page before");
    let (micros, run_id) = cursor.split_once('_').ok_or_else(invalid)?;
    let micros = micros.parse().map_err(|_| invalid())?;
    Ok((Timestamp::from_micros(micros), parse("cursor", run_id)?))
}
