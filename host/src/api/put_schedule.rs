//! `PUT /v1/namespaces/{namespace}/schedules/{name}`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{self, Json, Path};
use super::schedules::ScheduleView;
use super::{Code, Problem, get_schedule};
use crate::model::{Durability, Name, Namespace, Overlap, Payload, Priority, Schedule, SpecText, Tags};
use crate::worker::Host;

/// What a schedule is to do.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSchedule {
    /// The workflow that it starts; its newest version is taken, each time.
    #[schema(value_type = String)]
    pub workflow: Name,
    /// What that is started with. None is `null`.
    #[serde(default = "Payload::null")]
    #[schema(value_type = Value)]
    pub input: Payload,
    /// When its guest sees events: `output` (the default), or `strict`.
    #[serde(default)]
    pub durability: Durability,
    /// How long each run may take: then it is asked to stop. As `90s`, `2h` or `7d`; none is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    #[schema(value_type = Option<String>, example = "2h")]
    pub timeout: Option<Duration>,
    /// What each of its runs is found by: up to 16 texts by key.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    #[schema(value_type = HashMap<String, String>)]
    pub tags: Tags,
    /// Which runs of the namespace are taken up first when there is not room for all: 1 first, 5 last.
    #[serde(default, skip_serializing_if = "Priority::is_default")]
    #[schema(value_type = u8, minimum = 1, maximum = 5, default = 3)]
    pub priority: Priority,
    /// Of the runs of its workflow that have the same, so many may be under way at once as was set for the workflow; others wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub concurrency_key: Option<String>,
    /// When it ticks: one of `cron`, `every` and `at`.
    pub spec: SpecText,
    /// What becomes of a tick while the run of an earlier one is open: `skip` (the default), `buffer-one`, `cancel` or `allow`.
    #[serde(default)]
    pub overlap: Overlap,
    /// By how much ticks may be late, each by a length of its own: so that not all start at the full hour.
    #[serde(default, with = "humantime_serde")]
    #[schema(value_type = String, example = "30s")]
    pub jitter: Duration,
    /// How late a tick may be and still start its run, after a time without any host: `1h` by default.
    #[serde(default = "catch_up_default", with = "humantime_serde")]
    #[schema(value_type = String, example = "1h")]
    pub catch_up: Duration,
}

fn catch_up_default() -> Duration {
    Duration::from_secs(3_600)
}

/// Make a schedule, or change one. Its ticks go on from where they are unless `spec` is another; and if it is paused, it stays so.
#[utoipa::path(
    put,
    path = "/v1/namespaces/{namespace}/schedules/{name}",
    tag = "schedules",
    params(("namespace" = String, Path), ("name" = String, Path)),
    request_body = PutSchedule,
    responses(
        (status = 201, body = ScheduleView, description = "Made"),
        (status = 200, body = ScheduleView, description = "Changed, or as it was"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-workflow"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "too-many-schedules"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "invalid-schedule"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "storage-full"),
    )
)]
pub(super) async fn put_schedule(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path((namespace, name)): Path<(Namespace, Name)>,
    Json(request): Json<PutSchedule>,
) -> Result<(StatusCode, axum::Json<ScheduleView>), Problem> {
    extract::concurrency_key(request.concurrency_key.as_deref())?;
    let spec = request.spec.try_into();
    let spec =
        spec.map_err(|error: crate::model::ScheduleError| Problem::new(Code::InvalidSchedule, error.to_string()))?;
    let schedule = Schedule {
        workflow: request.workflow,
        input: extract::payload(request.input.as_bytes().clone(), &host, &namespace).await?,
        durability: request.durability,
        timeout: request.timeout,
        tags: request.tags,
        priority: request.priority,
        concurrency_key: request.concurrency_key,
        spec,
        overlap: request.overlap,
        jitter: request.jitter,
        catch_up: request.catch_up,
    };
    let is_new = host.put_schedule(&namespace, &name, &schedule, &who).await?;
    let view = get_schedule::view(&host, &namespace, &name).await?;
    Ok((if is_new { StatusCode::CREATED } else { StatusCode::OK }, axum::Json(view)))
}
