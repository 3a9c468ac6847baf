//! `GET /v1/namespaces/{namespace}/queues`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::Path;
use crate::model::{Namespace, Timestamp};
use crate::store::QueueDepth;
use crate::worker::Host;

/// How many live runs stand where.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Queues {
    /// Each, whether anything stands in it or not.
    pub queues: Vec<QueueView>,
}

/// A queue.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueView {
    /// `ready`: waits for a host; `suspects`: among them, those that hosts may have died of; `beyond`:
    /// among them, those that no host at work knows how to run; `running`: a host is at it; `waiting`: for
    /// a signal or a time; `late`: among them, those whose time has come.
    pub queue: String,
    /// How many runs.
    pub depth: u64,
    /// Since when the first of them stands there; of those that are late, since when it should not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest_at: Option<Timestamp>,
}

/// How many runs of a namespace wait for a host, are at one, and wait for something else.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/queues",
    tag = "runs",
    params(("namespace" = String, Path)),
    responses((status = 200, body = Queues))
)]
pub(super) async fn queue_depths(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
) -> Result<Json<Queues>, Problem> {
    let queues = host.store.queue_depths(&namespace).await?;
    Ok(Json(Queues { queues: queues.into_iter().map(Into::into).collect() }))
}

impl From<QueueDepth> for QueueView {
    fn from(queue: QueueDepth) -> Self {
        let QueueDepth { queue, depth, oldest_at } = queue;
        Self { queue, depth, oldest_at }
    }
}
