//! `GET /v1/namespaces/{namespace}/runs/{run_id}/rewinds`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::Path;
use crate::model::{Namespace, Payload, RunId, RunState, Timestamp};
use crate::store::Rewind;
use crate::worker::Host;

/// The rewinds of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rewinds {
    /// The first one first.
    pub rewinds: Vec<RewindView>,
}

/// A rewind of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RewindView {
    /// Which: 1, 2, ….
    pub rewind: u32,
    /// The first event that it has dropped: `…/history?rewind=N` has all of them.
    pub before: u32,
    /// What the run was before.
    pub state: RunState,
    /// And what it had come to: its result, its failure, or why it was quarantined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub result: Option<Payload>,
    /// Whoever rewound it.
    pub who: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// When a run was rewound, to where, and by whom.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/rewinds",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    responses(
        (status = 200, body = Rewinds),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
    )
)]
pub(super) async fn list_rewinds(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
) -> Result<Json<Rewinds>, Problem> {
    if host.store.get_run(&namespace, run_id).await?.is_none() {
        return Err(Problem::no_such_run());
    }
    let rewinds = host.store.rewinds(&namespace, run_id).await?;
    Ok(Json(Rewinds { rewinds: rewinds.into_iter().map(Into::into).collect() }))
}

impl From<Rewind> for RewindView {
    fn from(rewind: Rewind) -> Self {
        let Rewind { rewind, before, state, result, who, at } = rewind;
        Self { rewind, before, state, result, who, at }
    }
}
