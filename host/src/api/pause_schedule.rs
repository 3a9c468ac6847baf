//! `POST /v1/namespaces/{namespace}/schedules/{name}/pause`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::auth::Caller;
use super::extract::Path;
use super::schedules::{ScheduleView, no_such_schedule};
use super::{Problem, get_schedule};
use crate::model::{Name, Namespace};
use crate::worker::Host;

/// Pause a schedule: it starts nothing before it is resumed, not even a tick that waits. Runs that it has started go on.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/schedules/{name}/pause",
    tag = "schedules",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 200, body = ScheduleView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-schedule"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "wrong-state: it is paused"),
    )
)]
pub(super) async fn pause_schedule(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path((namespace, name)): Path<(Namespace, Name)>,
) -> Result<Json<ScheduleView>, Problem> {
    if !host.store.pause_schedule(&namespace, &name, &who).await? {
        return Err(no_such_schedule());
    }
    Ok(Json(get_schedule::view(&host, &namespace, &name).await?))
}
