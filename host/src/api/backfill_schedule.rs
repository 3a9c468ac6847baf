//! `POST /v1/namespaces/{namespace}/schedules/{name}/backfill`

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::auth::Caller;
use super::extract::{Json, Path};
use crate::model::{Name, Namespace, Timestamp};
use crate::worker::Host;

/// A range of ticks.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Backfill {
    /// From this time on, a tick at that very time included.
    #[schema(value_type = String, format = DateTime)]
    pub from: Timestamp,
    /// Up to this time, a tick at that very time included. It is not in the future.
    #[schema(value_type = String, format = DateTime)]
    pub to: Timestamp,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Backfilled {
    /// How many ticks there are in the range.
    pub ticks: usize,
    /// How many of them had no run, and have one now.
    pub started: u32,
}

/// Start the runs of a range of ticks, as the schedule is now: all at once, whatever `overlap` says. A tick that has a run has that one, so
/// asking again is safe. At most 1,000 ticks, all of them or none.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/schedules/{name}/backfill",
    tag = "schedules",
    params(("namespace" = String, Path), ("name" = String, Path)),
    request_body = Backfill,
    responses(
        (status = 200, body = Backfilled),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-schedule, no-such-workflow"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "too-many-ticks"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "storage-full"),
    )
)]
pub(super) async fn backfill_schedule(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path((namespace, name)): Path<(Namespace, Name)>,
    Json(Backfill { from, to }): Json<Backfill>,
) -> Result<axum::Json<Backfilled>, Problem> {
    let filled = host.backfill_schedule(&namespace, &name, (from, to), &who).await?;
    Ok(axum::Json(Backfilled { ticks: filled.ticks, started: filled.started }))
}
