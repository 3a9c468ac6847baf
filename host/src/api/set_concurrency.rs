//! `PUT /v1/namespaces/{namespace}/workflows/{workflow}/concurrency`, the same for a whole namespace, and
//! `GET /v1/namespaces/{namespace}/concurrency`

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Json, Path};
use super::{Code, Problem};
use crate::model::{Name, Namespace};
use crate::store::Concurrency;
use crate::worker::Host;

/// How many runs of a workflow may be under way at once. What is not named is no limit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetConcurrency {
    /// Of all.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2147483647)]
    pub max_runs: Option<u32>,
    /// Of those that were started with the same `concurrency_key`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2147483647)]
    pub max_per_key: Option<u32>,
}

/// How many runs of a namespace may be under way at once. What is not named is no limit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetNamespaceConcurrency {
    /// Of all, but those that other runs wait for.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 2147483647)]
    pub max_runs: Option<u32>,
}

/// The limits of a namespace on runs at once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConcurrencyLimits {
    /// The namespace's own first, then by workflow.
    pub limits: Vec<ConcurrencyView>,
}

/// A limit on runs at once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConcurrencyView {
    /// The workflow; none is all of the namespace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub workflow: Option<String>,
    /// How many runs may be under way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_runs: Option<u32>,
    /// How many of those that were started with the same concurrency key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_per_key: Option<u32>,
    /// How many are, of those that `max_runs` counts.
    pub under_way: u32,
    /// Runs that have not begun and wait for `max_runs`.
    pub waiting: u64,
    /// Runs that have not begun and wait for `max_per_key`.
    pub waiting_for_key: u64,
}

/// Limit a workflow: so many runs may be under way at once, from when they begin until they end; others wait, by priority and then by age.
/// Runs that are under way stay so, however many there are; a limit that is raised lets those go on that wait.
#[utoipa::path(
    put,
    path = "/v1/namespaces/{namespace}/workflows/{workflow}/concurrency",
    tag = "workflows",
    params(("namespace" = String, Path), ("workflow" = String, Path)),
    request_body = SetConcurrency,
    responses(
        (status = 200, body = ConcurrencyLimits),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "bad-request"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-workflow"),
    )
)]
pub(super) async fn set_concurrency(
    State(host): State<Arc<Host>>,
    Path((namespace, workflow)): Path<(Namespace, Name)>,
    Caller(who): Caller,
    Json(request): Json<SetConcurrency>,
) -> Result<axum::Json<ConcurrencyLimits>, Problem> {
    let SetConcurrency { max_runs, max_per_key } = request;
    let limits = (checked("max_runs", max_runs)?, checked("max_per_key", max_per_key)?);
    host.set_concurrency(&namespace, Some(&workflow), limits, &who).await?;
    list(&host, &namespace).await
}

/// Limit a namespace: so many of its runs may be under way at once. Runs that other runs wait for are not counted, as they are part of
/// those. Takes a key for all namespaces.
#[utoipa::path(
    put,
    path = "/v1/namespaces/{namespace}/concurrency",
    tag = "namespaces",
    params(("namespace" = String, Path)),
    request_body = SetNamespaceConcurrency,
    responses(
        (status = 200, body = ConcurrencyLimits),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "bad-request"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-namespace"),
    )
)]
pub(super) async fn set_namespace_concurrency(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Caller(who): Caller,
    Json(request): Json<SetNamespaceConcurrency>,
) -> Result<axum::Json<ConcurrencyLimits>, Problem> {
    let max_runs = checked("max_runs", request.max_runs)?;
    host.set_concurrency(&namespace, None, (max_runs, None), &who).await?;
    list(&host, &namespace).await
}

/// The limits of a namespace on runs at once, and how many runs are under way and wait.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/concurrency",
    tag = "namespaces",
    params(("namespace" = String, Path)),
    responses((status = 200, body = ConcurrencyLimits))
)]
pub(super) async fn list_concurrency(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
) -> Result<axum::Json<ConcurrencyLimits>, Problem> {
    list(&host, &namespace).await
}

async fn list(host: &Host, namespace: &Namespace) -> Result<axum::Json<ConcurrencyLimits>, Problem> {
    let limits = host.concurrency(namespace).await?.into_iter().map(Into::into).collect();
    Ok(axum::Json(ConcurrencyLimits { limits }))
}

fn checked(name: &str, max: Option<u32>) -> Result<Option<u32>, Problem> {
    let is_good = max.is_none_or(|max| (1..=i32::MAX.unsigned_abs()).contains(&max));
    let refuse = || {
        Problem::new(
            Code::BadRequest,
            format!("`{name}` is from 1 to {}, or null: no limit. To let no run go on, pause", i32::MAX),
        )
    };
    if is_good { Ok(max) } else { Err(refuse()) }
}

impl From<Concurrency> for ConcurrencyView {
    fn from(limit: Concurrency) -> Self {
        let Concurrency { workflow, max_runs, max_per_key, under_way, waiting, waiting_for_key } = limit;
        Self { workflow, max_runs, max_per_key, under_way, waiting, waiting_for_key }
    }
}
