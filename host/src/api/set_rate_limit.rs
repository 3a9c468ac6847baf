//! `PUT`, `DELETE /v1/namespaces/{namespace}/rate-limits/{step}` and `GET /v1/namespaces/{namespace}/rate-limits`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Json, Path};
use super::{Code, Problem};
use crate::model::{Name, Namespace};
use crate::store::{RATE_LIMITS_MAX, RateLimit};
use crate::worker::Host;

/// How many attempts of a step may begin.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRateLimit {
    /// In a second; less than one is one in several seconds.
    #[schema(minimum = 0.0001, maximum = 1000000)]
    pub per_second: f64,
    /// At once, if there were none for a while.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1000000, default = 1)]
    pub burst: u32,
}

/// The rate limits of a namespace.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RateLimits {
    /// By step.
    pub limits: Vec<RateLimitView>,
}

/// A rate limit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RateLimitView {
    /// The step.
    pub step: String,
    /// How many attempts may begin in a second.
    pub per_second: f64,
    /// How many at once, if there were none for a while.
    pub burst: u32,
}

/// From how slow to how fast.
const RATES: std::ops::RangeInclusive<f64> = 0.000_1..=1_000_000.0;

/// Most attempts at once.
const BURST_MAX: u32 = 1_000_000;

fn one() -> u32 {
    1
}

/// Limit a step: so many attempts may begin in a second, at all hosts together. Others wait for their turn. It counts for steps of
/// this name of whichever component of the namespace.
#[utoipa::path(
    put,
    path = "/v1/namespaces/{namespace}/rate-limits/{step}",
    tag = "workflows",
    params(("namespace" = String, Path), ("step" = String, Path)),
    request_body = SetRateLimit,
    responses(
        (status = 200, body = RateLimits),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "bad-request"),
    )
)]
pub(super) async fn set_rate_limit(
    State(host): State<Arc<Host>>,
    Path((namespace, step)): Path<(Namespace, Name)>,
    Caller(who): Caller,
    Json(request): Json<SetRateLimit>,
) -> Result<axum::Json<RateLimits>, Problem> {
    let SetRateLimit { per_second, burst } = request;
    if !RATES.contains(&per_second) || !(1..=BURST_MAX).contains(&burst) {
        let (from, to) = (RATES.start(), RATES.end());
        let detail = format!("`per_second` is from {from} to {to}, and `burst` from 1 to {BURST_MAX}");
        return Err(Problem::new(Code::BadRequest, detail));
    }
    if !host.set_rate_limit(&namespace, &step, (per_second, burst), &who).await? {
        let detail = format!("a namespace has at most {RATE_LIMITS_MAX} rate limits: take one away first");
        return Err(Problem::new(Code::BadRequest, detail));
    }
    list(&host, &namespace).await
}

/// Take the limit of a step away. Attempts that wait have their times, and keep them.
#[utoipa::path(
    delete,
    path = "/v1/namespaces/{namespace}/rate-limits/{step}",
    tag = "workflows",
    params(("namespace" = String, Path), ("step" = String, Path)),
    responses((status = 204, description = "There is none any more"))
)]
pub(super) async fn unset_rate_limit(
    State(host): State<Arc<Host>>,
    Path((namespace, step)): Path<(Namespace, Name)>,
    Caller(who): Caller,
) -> Result<StatusCode, Problem> {
    host.unset_rate_limit(&namespace, &step, &who).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The rate limits of a namespace.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/rate-limits",
    tag = "workflows",
    params(("namespace" = String, Path)),
    responses((status = 200, body = RateLimits))
)]
pub(super) async fn list_rate_limits(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
) -> Result<axum::Json<RateLimits>, Problem> {
    list(&host, &namespace).await
}

async fn list(host: &Host, namespace: &Namespace) -> Result<axum::Json<RateLimits>, Problem> {
    let limits = host.rate_limits(namespace).await?.into_iter().map(Into::into).collect();
    Ok(axum::Json(RateLimits { limits }))
}

impl From<RateLimit> for RateLimitView {
    fn from(limit: RateLimit) -> Self {
        let RateLimit { step, per_second, burst } = limit;
        Self { step, per_second, burst: burst.unsigned_abs() }
    }
}
