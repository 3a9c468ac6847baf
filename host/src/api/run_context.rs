//! `POST /v1/namespaces/{namespace}/runs/context`

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::{Json, Path};
use super::step_readiness::RunIds;
use crate::model::{Namespace, RunState, Timestamp};
use crate::store::RunContext;
use crate::worker::Host;

/// Where several runs stand.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Contexts {
    /// By id.
    pub runs: Vec<ContextView>,
}

/// Where a run stands, and what to do about it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ContextView {
    /// Which run.
    #[schema(format = Uuid)]
    pub run_id: String,
    /// Its workflow.
    pub workflow: String,
    /// The component that has the workflow.
    pub component: String,
    /// The version that it is pinned to.
    pub version: u32,
    /// Where it stands.
    pub execution_status: RunState,
    /// `healthy`, `waiting`, `retrying`, `stuck`, `paused`, `quarantined` or `failed`.
    pub health: String,
    /// `none`; `wait`: it goes on by itself; `signal`: it waits for somebody; `resume`: somebody has paused it; `check-hosts`: no host
    /// has taken it up for a minute; `make-room`: its namespace is full; `investigate`: it cannot go on; `retry`: it has failed, and
    /// another run may not.
    pub recommended_action: String,
    /// The part of its steps that is done, of those that are known: 1 when it has completed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub completion: Option<f64>,
    /// Its steps by their state.
    pub steps: StepCountsView,
    /// What it waits for; 100 at most are kept.
    pub open_calls: u32,
    /// What has come for it and was not delivered yet.
    pub letters: u32,
    /// Children that it waits for.
    pub children: u32,
    /// Length of its history.
    pub events: u32,
    /// How often in a row it was taken up and came to nothing.
    pub strikes: u32,
    /// The code of its failure, or of why it is quarantined.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failure_code: Option<String>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub closed_at: Option<Timestamp>,
    /// The run's own time at its last event.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_event_at: Option<Timestamp>,
    /// When it wakes by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub wake_at: Option<Timestamp>,
}

/// How many steps a run has, by their state: of the last thousand that have ended, and those that are open.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct StepCountsView {
    /// They have a result.
    pub completed: u32,
    /// They have failed.
    pub failed: u32,
    /// An attempt is under way.
    pub running: u32,
    /// Another attempt will be made.
    pub retrying: u32,
    /// Nobody wants them any more.
    pub abandoned: u32,
}

/// Where runs stand, and what to do about them.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/context",
    tag = "runs",
    params(("namespace" = String, Path)),
    request_body = RunIds,
    responses((status = 200, body = Contexts))
)]
pub(super) async fn run_context(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Json(request): Json<RunIds>,
) -> Result<axum::Json<Contexts>, Problem> {
    let runs = host.store.run_context(&namespace, &request.checked()?).await?;
    Ok(axum::Json(Contexts { runs: runs.into_iter().map(Into::into).collect() }))
}

impl From<RunContext> for ContextView {
    fn from(run: RunContext) -> Self {
        let steps = run.steps;
        Self {
            run_id: run.run_id.to_string(),
            workflow: run.workflow,
            component: run.component,
            version: run.version,
            execution_status: run.execution_status,
            health: run.health,
            recommended_action: run.recommended_action,
            completion: run.completion,
            steps: StepCountsView {
                completed: steps.completed,
                failed: steps.failed,
                running: steps.running,
                retrying: steps.retrying,
                abandoned: steps.abandoned,
            },
            open_calls: run.open_calls,
            letters: run.letters,
            children: run.children,
            events: run.events,
            strikes: run.strikes,
            failure_code: run.failure_code,
            started_at: run.started_at,
            closed_at: run.closed_at,
            last_event_at: run.last_event_at,
            wake_at: run.wake_at,
        }
    }
}
