//! `POST /v1/namespaces/{namespace}/runs`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{self, Json, Path, Query, Wait};
use super::view::RunView;
use super::{Code, Problem, get_run};
use crate::model::{Durability, Name, Namespace, Payload, Priority, RunId, Tags, duration_from_us, duration_us};
use crate::store::{InboxMax, NewRun, NewSignal, Started};
use crate::worker::Host;

/// A run to be started.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRun {
    /// Which workflow; its newest version is taken.
    #[schema(value_type = String)]
    pub workflow: Name,
    /// What it is started with. None is `null`.
    #[serde(default = "Payload::null")]
    #[schema(value_type = Value)]
    pub input: Payload,
    /// When its guest sees events: `output` (the default), or `strict`.
    #[serde(default)]
    pub durability: Durability,
    /// How long from now it may take: then it is asked to stop. As `90s`, `2h` or `7d`; none is no limit.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    #[schema(value_type = Option<String>, example = "2h")]
    pub timeout: Option<Duration>,
    /// What it is found by: up to 16 texts by key. A start that is asked for again, by its key, changes none.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    #[schema(value_type = HashMap<String, String>)]
    pub tags: Tags,
    /// Which runs of the namespace are taken up first when there is not room for all: 1 first, 5 last. Its children have the same.
    #[serde(default, skip_serializing_if = "Priority::is_default")]
    #[schema(value_type = u8, minimum = 1, maximum = 5, default = 3)]
    pub priority: Priority,
    /// Of the runs of its workflow that have the same, so many may be under way at once as was set for the workflow; others wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub concurrency_key: Option<String>,
    /// A signal that it gets in the same moment. With an idempotency key, a run that is there already gets the signal, and the
    /// input does not count: start it if it is not there, and send it the signal in any case, both or neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<StartSignal>,
}

/// A signal that comes with a start.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSignal {
    /// Its name.
    #[schema(value_type = String)]
    pub name: Name,
    /// What it carries. None is `null`.
    #[serde(default = "Payload::null")]
    #[schema(value_type = Value)]
    pub payload: Payload,
    /// The same id again is the same signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Answer when the run has ended, but no later than after this long, a minute at most.
    #[serde(default)]
    #[param(value_type = Option<String>, example = "30s")]
    wait: Wait,
}

/// Longest idempotency key, in bytes.
pub(super) const KEY_LENGTH_MAX: usize = 255;

/// Start a run.
///
/// With the header `Idempotency-Key`, the same request again is the same run.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs",
    tag = "runs",
    params(("namespace" = String, Path), ("Idempotency-Key" = Option<String>, Header), Parameters),
    request_body = StartRun,
    responses(
        (status = 201, body = RunView, description = "Started"),
        (status = 200, body = RunView, description = "Started before by the same request"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-workflow"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "idempotency-conflict"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "storage-full"),
    )
)]
pub(super) async fn start_run(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    Json(request): Json<StartRun>,
) -> Result<Response, Problem> {
    let idempotency_key = extract::header(&headers, "Idempotency-Key", KEY_LENGTH_MAX)?;
    let StartRun { workflow, input, durability, timeout, tags, priority, concurrency_key, signal } = request;
    if timeout.is_some_and(|timeout| duration_from_us(duration_us(timeout)).is_none()) {
        return Err(Problem::new(Code::BadRequest, "a timeout is at most 100 years"));
    }
    extract::concurrency_key(concurrency_key.as_deref())?;
    let input = extract::payload(input.as_bytes().clone(), &host, &namespace).await?;
    let signal = match signal {
        Some(signal) => Some(new_signal(signal, &host, &namespace).await?),
        None => None,
    };
    let run_id = idempotency_key.as_deref().map_or_else(RunId::new, |key| RunId::from_key(&namespace, key));
    let run = NewRun {
        run_id,
        namespace: namespace.clone(),
        workflow,
        input,
        durability,
        idempotency_key,
        timeout,
        tags,
        priority,
        concurrency_key,
        signal,
    };
    let wait = parameters.wait.0;
    // Before the run is there: its end is not missed.
    let watcher = host.watchers().watch(run_id);
    let (status, run_id) = match host.start_run(&run, !wait.is_zero()).await? {
        Started::New(info) => (StatusCode::CREATED, info.run_id),
        Started::Queued(run_id) => (StatusCode::CREATED, run_id),
        Started::Before(run_id) => (StatusCode::OK, run_id),
        Started::Conflict(run_id) => {
            let detail = format!("run {run_id} was started with this key, for another workflow or with another input");
            return Err(Problem::new(Code::IdempotencyConflict, detail));
        }
        Started::NoSuchWorkflow => {
            let detail = format!("deploy a component that has the workflow `{}`, or check its name", run.workflow);
            return Err(Problem::new(Code::NoSuchWorkflow, detail));
        }
    };
    let has_begun = status == StatusCode::CREATED && !wait.is_zero();
    let view = get_run::wait(&host, &watcher, &namespace, wait, has_begun).await?;
    let mut response = (status, axum::Json(view)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/namespaces/{namespace}/runs/{run_id}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn new_signal(signal: StartSignal, host: &Host, namespace: &Namespace) -> Result<NewSignal, Problem> {
    let StartSignal { name, payload, id } = signal;
    if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > KEY_LENGTH_MAX) {
        return Err(Problem::new(Code::BadRequest, format!("the id of a signal has 1 to {KEY_LENGTH_MAX} bytes")));
    }
    let payload = extract::payload(payload.as_bytes().clone(), host, namespace).await?;
    let inbox = InboxMax::from(&*host.limits(namespace).await?);
    Ok(NewSignal { name, payload, signal_id: id, inbox })
}
