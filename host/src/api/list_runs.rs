//! `GET /v1/namespaces/{namespace}/runs`

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::{Path, Query};
use super::run_filter::{archived, filter_parameters};
use super::view::RunListingView;
use super::{Code, Problem};
use crate::model::{Namespace, RunId, Timestamp};
use crate::store::RunsFound;
use crate::worker::Host;

filter_parameters! {
    pub(super) struct Parameters {
        /// Those that are archived, instead of those that are not. They are found by workflow, component, version and state only.
        #[serde(default)]
        #[param(default = false)]
        archived: bool,
        /// How many at most, up to 200.
        #[serde(default = "limit_default")]
        #[param(default = 50)]
        limit: u32,
        /// `next` of the page before.
        cursor: Option<String>,
    }
}

const LIMIT_MAX: u32 = 200;

fn limit_default() -> u32 {
    50
}

/// A page of runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// Newest first. A search that finds little may end a page early, or with nothing on it: there is more as long as there is
    /// a cursor.
    pub runs: Vec<RunListingView>,
    /// The cursor of the next page; none after the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// The runs of a namespace that have all that is asked for, newest first.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs",
    tag = "runs",
    params(("namespace" = String, Path), Parameters),
    responses((status = 200, body = RunPage))
)]
pub(super) async fn list_runs(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<RunPage>, Problem> {
    let after = parameters.cursor.as_deref().map(str::parse::<RunCursor>).transpose();
    let after = after.map_err(|error| Problem::new(Code::BadRequest, error.to_string()))?;
    let after = after.map(|cursor| (cursor.started_at, cursor.run_id));
    let limit = parameters.limit.clamp(1, LIMIT_MAX);
    // One more than asked tells whether there is another page.
    let filter = parameters.filter()?;
    let RunsFound { mut runs, stopped_at } = if parameters.archived {
        let runs = host.store.list_archived_runs(&namespace, &archived(filter)?, after, limit + 1).await?;
        RunsFound { runs, stopped_at: None }
    } else {
        host.store.list_runs(&namespace, &filter, after, limit + 1).await?
    };
    let more = runs.len() > limit as usize;
    runs.truncate(limit as usize);
    let last = runs.last().filter(|_| more).map(|run| (run.started_at, run.run_id));
    let next = last.or(stopped_at).map(|(started_at, run_id)| RunCursor { started_at, run_id }.to_string());
    Ok(Json(RunPage { runs: runs.into_iter().map(Into::into).collect(), next }))
}

/// Where a page of runs begins: after this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunCursor {
    started_at: Timestamp,
    run_id: RunId,
}

/// A text that is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cursor: take it from `next` of the page before")]
pub struct NoCursor;

impl fmt::Display for RunCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.started_at.as_micros(), self.run_id)
    }
}

impl FromStr for RunCursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (micros, run_id) = text.split_once('_').ok_or(NoCursor)?;
        let micros = micros.parse().map_err(|_| NoCursor)?;
        let run_id = run_id.parse().map_err(|_| NoCursor)?;
        Ok(Self { started_at: Timestamp::from_micros(micros), run_id })
    }
}
