//! `GET /v1/namespaces/{namespace}/metrics`

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::Path;
use crate::model::Namespace;
use crate::worker::Host;

/// Figures of a namespace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SystemMetrics {
    /// By name. Counts of runs that have ended, or were started, within the last hour stop at 10,000.
    pub metrics: BTreeMap<String, f64>,
}

/// How a namespace is doing, in figures.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/metrics",
    tag = "runs",
    params(("namespace" = String, Path)),
    responses((status = 200, body = SystemMetrics))
)]
pub(super) async fn system_metrics(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
) -> Result<Json<SystemMetrics>, Problem> {
    let metrics = host.store.system_metrics(&namespace).await?;
    Ok(Json(SystemMetrics { metrics: metrics.into_iter().collect() }))
}
