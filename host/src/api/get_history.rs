//! `GET /v1/namespaces/{namespace}/runs/{run_id}/history`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Path, Query};
use super::view::{AttemptView, EventView};
use super::{Problem, RecordedRun};
use crate::model::{Namespace, RunId};
use crate::worker::Host;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// The number of the first event.
    #[serde(default)]
    #[param(default = 0)]
    first: u32,
    /// How many events at most, up to 1,000. There may be fewer if they are large.
    #[serde(default = "limit_default")]
    #[param(default = 1000)]
    limit: u32,
    /// Instead of the history, the events that this rewind has taken out of it.
    rewind: Option<u32>,
}

const LIMIT_MAX: u32 = 1_000;

/// Bytes of payloads after which a page ends.
pub(super) const PAGE_BYTES: u32 = 8 << 20;

fn limit_default() -> u32 {
    LIMIT_MAX
}

/// A part of a run's history.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// What the run was started with, or has last continued as new with: with the first part.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<RecordedRun>,
    /// In the order in which they were delivered to the guest.
    pub events: Vec<EventView>,
    /// Attempts of its steps that failed, or that have been running for long: the first 1,000.
    pub attempts: Vec<AttemptView>,
    /// The number of the first event of the next part; none after the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<u32>,
}

/// What has happened to a run.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/history",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path), Parameters),
    responses(
        (status = 200, body = History),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
    )
)]
pub(super) async fn get_history(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Query(Parameters { first, limit, rewind }): Query<Parameters>,
) -> Result<Json<History>, Problem> {
    let store = &host.store;
    let run = store.recorded_run(&namespace, run_id).await?.ok_or_else(Problem::no_such_run)?;
    let limit = limit.clamp(1, LIMIT_MAX);
    if let Some(rewind) = rewind {
        let (events, next) = store.past_events(&namespace, (run_id, rewind), first, limit, PAGE_BYTES).await?;
        let events = events.into_iter().map(Into::into).collect();
        return Ok(Json(History { run: None, events, attempts: Vec::new(), next }));
    }
    let (events, next) = store.history_page(&namespace, run_id, first, limit, PAGE_BYTES).await?;
    let attempts = store.attempts(&namespace, run_id).await?;
    Ok(Json(History {
        run: (first == 0).then(|| run.into()),
        events: events.into_iter().map(Into::into).collect(),
        attempts: attempts.into_iter().map(Into::into).collect(),
        next,
    }))
}
