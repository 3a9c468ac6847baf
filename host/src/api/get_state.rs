//! `GET /v1/namespaces/{namespace}/runs/{run_id}/state`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::Path;
use crate::model::{Namespace, Payload, RunId, Timestamp};
use crate::worker::Host;

/// What a run shows of itself.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PublishedState {
    /// By key.
    pub values: BTreeMap<String, PublishedValue>,
}

/// A value that a run shows.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PublishedValue {
    /// The last one.
    #[schema(value_type = Value)]
    pub value: Payload,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// What a run has published. Reading it does not wake the run.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/state",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    responses(
        (status = 200, body = PublishedState),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
    )
)]
pub(super) async fn get_state(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
) -> Result<Json<PublishedState>, Problem> {
    if host.store.get_run(&namespace, run_id).await?.is_none() {
        return Err(Problem::no_such_run());
    }
    let published = host.store.published(&namespace, run_id).await?;
    let values = published.into_iter().map(|row| (row.key, PublishedValue { value: row.value, at: row.at }));
    Ok(Json(PublishedState { values: values.collect() }))
}
