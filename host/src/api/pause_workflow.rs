//! `POST /v1/namespaces/{namespace}/workflows/{workflow}/pause` and `…/resume`, the same for a whole namespace, and
//! `GET /v1/namespaces/{namespace}/pauses`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::auth::Caller;
use super::extract::Path;
use crate::model::{Name, Namespace, Timestamp};
use crate::worker::Host;

/// A workflow, or a namespace, was paused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Paused {
    /// Runs that hosts were at: they let go of them when what is under way has ended.
    pub running: usize,
}

/// A workflow, or a namespace, was resumed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Resumed {
    /// Runs that would have gone on meanwhile, and do so now.
    pub ready: usize,
}

/// What of a namespace is paused, beside single runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pauses {
    /// The namespace itself first, then by name.
    pub pauses: Vec<PauseView>,
}

/// A workflow, or all of a namespace, that is paused.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PauseView {
    /// The workflow; none is all of the namespace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub workflow: Option<String>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub paused_at: Timestamp,
}

/// Pause a workflow: no run of it goes on until it is resumed. Runs are started all the same, and wait.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/workflows/{workflow}/pause",
    tag = "workflows",
    params(("namespace" = String, Path), ("workflow" = String, Path)),
    responses(
        (status = 200, body = Paused),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-workflow"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "wrong-state"),
    )
)]
pub(super) async fn pause_workflow(
    State(host): State<Arc<Host>>,
    Path((namespace, workflow)): Path<(Namespace, Name)>,
    Caller(who): Caller,
) -> Result<Json<Paused>, Problem> {
    let running = host.pause_workflow(&namespace, Some(&workflow), &who).await?;
    Ok(Json(Paused { running }))
}

/// Let a workflow go on. Runs that are paused by themselves stay so.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/workflows/{workflow}/resume",
    tag = "workflows",
    params(("namespace" = String, Path), ("workflow" = String, Path)),
    responses(
        (status = 200, body = Resumed),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-workflow"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "wrong-state"),
    )
)]
pub(super) async fn resume_workflow(
    State(host): State<Arc<Host>>,
    Path((namespace, workflow)): Path<(Namespace, Name)>,
    Caller(who): Caller,
) -> Result<Json<Resumed>, Problem> {
    let ready = host.resume_workflow(&namespace, Some(&workflow), &who).await?;
    Ok(Json(Resumed { ready }))
}

/// Pause all of a namespace: no run of it goes on until it is resumed. Runs are started all the same, and wait.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/pause",
    tag = "namespaces",
    params(("namespace" = String, Path)),
    responses(
        (status = 200, body = Paused),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "wrong-state"),
    )
)]
pub(super) async fn pause_namespace(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Caller(who): Caller,
) -> Result<Json<Paused>, Problem> {
    let running = host.pause_workflow(&namespace, None, &who).await?;
    Ok(Json(Paused { running }))
}

/// Let a namespace go on. Runs and workflows of it that are paused by themselves stay so.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/resume",
    tag = "namespaces",
    params(("namespace" = String, Path)),
    responses(
        (status = 200, body = Resumed),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "wrong-state"),
    )
)]
pub(super) async fn resume_namespace(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Caller(who): Caller,
) -> Result<Json<Resumed>, Problem> {
    let ready = host.resume_workflow(&namespace, None, &who).await?;
    Ok(Json(Resumed { ready }))
}

/// What of a namespace is paused, beside single runs (list those by their state).
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/pauses",
    tag = "namespaces",
    params(("namespace" = String, Path)),
    responses((status = 200, body = Pauses))
)]
pub(super) async fn list_pauses(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
) -> Result<Json<Pauses>, Problem> {
    let pauses = host.pauses(&namespace).await?;
    let pauses = pauses.into_iter().map(|pause| PauseView { workflow: pause.workflow, paused_at: pause.paused_at });
    Ok(Json(Pauses { pauses: pauses.collect() }))
}
