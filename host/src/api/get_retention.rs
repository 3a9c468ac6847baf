//! `GET /v1/namespaces/{namespace}/retention`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::Path;
use crate::model::{Namespace, Retention};
use crate::store::RetentionStats;
use crate::worker::Host;

/// What a namespace keeps of what has ended.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RetentionView {
    /// How long it wants to keep it.
    pub retention: Retention,
    /// What there is, by how long ago it ended: `last 24 h`, `last 7 d`, `last 30 d`, `older`, each without those before it.
    pub ages: Vec<RetentionAge>,
}

/// Runs that have ended in some time.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RetentionAge {
    /// When they have ended.
    pub ended: String,
    /// Runs that are not archived.
    pub runs: u64,
    /// Bytes that they keep.
    pub bytes: u64,
    /// Runs that are archived.
    pub archived_runs: u64,
    /// Bytes that they keep.
    pub archived_bytes: u64,
}

/// How many runs of a namespace have ended, how long ago, and how much they keep. Takes a key for all namespaces. Reads all of it: a
/// namespace that keeps much takes a while.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/retention",
    tag = "namespaces",
    params(("namespace" = String, Path)),
    responses(
        (status = 200, body = RetentionView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-namespace"),
    )
)]
pub(super) async fn get_retention(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
) -> Result<Json<RetentionView>, Problem> {
    let retention = host.get_namespace(&namespace).await?.retention;
    let ages = host.store.retention_stats(&namespace).await?;
    Ok(Json(RetentionView { retention, ages: ages.into_iter().map(Into::into).collect() }))
}

impl From<RetentionStats> for RetentionAge {
    fn from(stats: RetentionStats) -> Self {
        let RetentionStats { ended, runs, bytes, archived_runs, archived_bytes } = stats;
        let (runs, archived_runs) = (runs.unsigned_abs(), archived_runs.unsigned_abs());
        Self { ended, runs, bytes: bytes.unsigned_abs(), archived_runs, archived_bytes: archived_bytes.unsigned_abs() }
    }
}
