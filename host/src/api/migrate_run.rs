//! `POST /v1/namespaces/{namespace}/runs/{run_id}/migrate`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Json as Body, Path};
use super::{Code, Problem};
use crate::model::{Namespace, RunId};
use crate::run::{ProgramError, TrialError};
use crate::worker::Host;

/// Where a run is to go on.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MigrateRun {
    /// The version of its component.
    pub version: u32,
    /// Only say whether it would survive.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Migrated {
    /// The version that the run was on.
    pub from: u32,
    /// The version that was asked for.
    pub to: u32,
    /// Events of its history that the version was told.
    pub events: u32,
    /// Whether the run survives on it.
    pub survives: bool,
    /// Whether it was moved. Never in a dry run, nor if it does not survive.
    pub migrated: bool,
    /// Where it would differ first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The event that the version does not take, with the call as history has it and as the version makes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Value>)]
    pub divergence: Option<Value>,
}

/// Move a run to another version of its component, if it would survive there: its history is delivered to that version, which has
/// to make the same calls, and those that are under way. If not, it stays on its version, and this says where it would differ first.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/migrate",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    request_body = MigrateRun,
    responses(
        (status = 200, body = Migrated),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run, no-such-version"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "run-ended; wrong-state: a host is at it, and was for seconds: pause it first"),
    )
)]
pub(super) async fn migrate_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Caller(who): Caller,
    Body(MigrateRun { version, dry_run }): Body<MigrateRun>,
) -> Result<Json<Migrated>, Problem> {
    let trial = host.migrate_run(&namespace, run_id, version, dry_run, &who).await?;
    let survives = trial.misfit.is_none();
    let (reason, divergence) = trial.misfit.map_or((None, None), |misfit| (Some(misfit.message), misfit.divergence));
    let divergence = divergence.map(|divergence| serde_json::to_value(divergence).unwrap_or_default());
    let events = trial.from.next_seq - trial.from.origin.seq;
    let migrated = survives && !dry_run && trial.from.version != version;
    Ok(Json(Migrated { from: trial.from.version, to: version, events, survives, migrated, reason, divergence }))
}

impl From<TrialError> for Problem {
    fn from(error: TrialError) -> Self {
        match error {
            TrialError::Store(error) => error.into(),
            TrialError::Program(error) if matches!(*error, ProgramError::Missing { .. }) => {
                Self::new(Code::NoSuchVersion, error.to_string())
            }
            TrialError::Program(error) if matches!(*error, ProgramError::Unknown { .. }) => {
                Self::new(Code::Unavailable, error.to_string())
            }
            TrialError::Program(error) => {
                tracing::warn!(%error, "a version cannot be had");
                Self::new(Code::Unavailable, "the version cannot be had on this host now; try again")
            }
            TrialError::Busy(busy) => busy.into(),
            TrialError::Host(message) => {
                tracing::warn!(error = %message, "a run could not be tried on another version");
                Self::new(Code::Unavailable, "the host could not try it now; try again")
            }
        }
    }
}
