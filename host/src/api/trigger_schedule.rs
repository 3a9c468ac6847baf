//! `POST /v1/namespaces/{namespace}/schedules/{name}/trigger`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::auth::Caller;
use super::extract::Path;
use crate::model::{Name, Namespace};
use crate::worker::Host;

/// A run that was started.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Triggered {
    /// Its id.
    #[schema(format = Uuid)]
    pub run_id: String,
}

/// Start a run of a schedule now, whatever `overlap` says and whether it is paused or not. Its ticks are as they were.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/schedules/{name}/trigger",
    tag = "schedules",
    params(("namespace" = String, Path), ("name" = String, Path)),
    responses(
        (status = 201, body = Triggered, description = "Started"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-schedule, no-such-workflow"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "storage-full"),
    )
)]
pub(super) async fn trigger_schedule(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path((namespace, name)): Path<(Namespace, Name)>,
) -> Result<(StatusCode, Json<Triggered>), Problem> {
    let run_id = host.trigger_schedule(&namespace, &name, &who).await?;
    Ok((StatusCode::CREATED, Json(Triggered { run_id: run_id.to_string() })))
}
