//! `GET /v1/namespaces/{namespace}/schedules/{name}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::extract::Path;
use super::schedules::{ScheduleView, no_such_schedule};
use crate::model::{Name, Namespace};
use crate::worker::Host;

/// How many ticks that are to come are shown.
const TICKS_SHOWN: usize = 5;

/// A schedule, with its next ticks and what became of the last ones.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/schedules/{name}",
    tag = "schedules",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = ScheduleView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-schedule"),
    )
)]
pub(super) async fn get_schedule(
    State(host): State<Arc<Host>>,
    Path((namespace, name)): Path<(Namespace, Name)>,
) -> Result<Json<ScheduleView>, Problem> {
    Ok(Json(view(&host, &namespace, &name).await?))
}

/// A schedule as it is now.
pub(super) async fn view(host: &Host, namespace: &Namespace, name: &Name) -> Result<ScheduleView, Problem> {
    let (summary, ticks) = host.get_schedule(namespace, name).await?.ok_or_else(no_such_schedule)?;
    let input = Some(summary.schedule.input.clone());
    let last_ticks = ticks.into_iter().map(Into::into).collect();
    Ok(ScheduleView { input, last_ticks, ..ScheduleView::new(summary, TICKS_SHOWN) })
}
