//! `POST /v1/namespaces/{namespace}/runs/steps`

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Json, Path};
use super::view::FailureView;
use super::{Code, Problem};
use crate::model::{Failure, Namespace, RunId, Timestamp};
use crate::store::StepReadiness;
use crate::worker::Host;

/// Runs that something is asked about, all at once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RunIds {
    /// Their ids, up to 1,000. Those that are no runs of the namespace are left out of the answer.
    #[schema(value_type = Vec<String>)]
    pub run_ids: Vec<RunId>,
}

impl RunIds {
    /// Most at once.
    const COUNT_MAX: usize = 1_000;

    pub(super) fn checked(self) -> Result<Vec<RunId>, Problem> {
        if self.run_ids.len() > Self::COUNT_MAX {
            let detail = format!("in the body: run_ids: no more than {} at once", Self::COUNT_MAX);
            return Err(Problem::new(Code::BadRequest, detail));
        }
        Ok(self.run_ids)
    }
}

/// Steps of several runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Steps {
    /// By run and call.
    pub steps: Vec<StepView>,
}

/// A step of a run.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Of which run.
    #[schema(format = Uuid)]
    pub run_id: String,
    /// Its call.
    pub call: u32,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub step: Option<String>,
    /// `completed`; `failed`; `running`: an attempt is under way, or about to be; `retrying`: between two attempts; `abandoned`:
    /// the run has ended, or does not want it any more.
    pub state: String,
    /// Whether all that it depends on is there. It always is: a workflow asks for a step when it has what it hands over.
    pub dependencies_satisfied: bool,
    /// Whether another attempt will be made.
    pub retry_eligible: bool,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_retry_at: Option<Timestamp>,
    /// Attempts that were made, or are under way.
    pub attempts: u32,
    /// How many may be made in all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt_limit: Option<u32>,
    /// Why the last attempt that failed did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<FailureView>)]
    pub last_failure: Option<Failure>,
    /// When it was asked for, by the run's own time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub asked_at: Option<Timestamp>,
    /// When it ended, by the run's own time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
}

/// Where the steps of runs stand.
///
/// The last thousand that have ended of each run, and those that are open. A step that a host has begun within the last seconds
/// is not in the database yet.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/steps",
    tag = "runs",
    params(("namespace" = String, Path)),
    request_body = RunIds,
    responses((status = 200, body = Steps))
)]
pub(super) async fn step_readiness(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Json(request): Json<RunIds>,
) -> Result<axum::Json<Steps>, Problem> {
    let steps = host.store.step_readiness(&namespace, &request.checked()?).await?;
    Ok(axum::Json(Steps { steps: steps.into_iter().map(Into::into).collect() }))
}

impl From<StepReadiness> for StepView {
    fn from(step: StepReadiness) -> Self {
        Self {
            run_id: step.run_id.to_string(),
            call: step.call,
            step: step.step,
            state: step.state,
            dependencies_satisfied: step.dependencies_satisfied,
            retry_eligible: step.retry_eligible,
            next_retry_at: step.next_retry_at,
            attempts: step.attempts,
            attempt_limit: step.attempt_limit,
            last_failure: step.last_failure,
            asked_at: step.asked_at,
            ended_at: step.ended_at,
        }
    }
}
