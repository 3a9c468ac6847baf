//! `GET /v1/namespaces/{namespace}/schedules`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::extract::{Path, Query};
use super::schedules::ScheduleView;
use crate::model::Namespace;
use crate::worker::Host;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
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

/// A page of schedules.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SchedulePage {
    /// By name.
    pub schedules: Vec<ScheduleView>,
    /// The cursor of the next page; none after the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// The schedules of a namespace, each with its next tick.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/schedules",
    tag = "schedules",
    params(("namespace" = String, Path), Parameters),
    responses((status = 200, body = SchedulePage))
)]
pub(super) async fn list_schedules(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<SchedulePage>, Problem> {
    let limit = parameters.limit.clamp(1, LIMIT_MAX);
    let after = parameters.cursor.unwrap_or_default();
    // One more than asked tells whether there is another page.
    let mut found = host.store.list_schedules(&namespace, &after, limit + 1).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| more).map(|schedule| schedule.name.to_string());
    let schedules = found.into_iter().map(|summary| ScheduleView::new(summary, 1)).collect();
    Ok(Json(SchedulePage { schedules, next }))
}
