//! `POST /v1/namespaces/{namespace}/runs/{run_id}/rewind`

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Json as Body, Path};
use super::view::RunView;
use super::{Code, Problem, get_run};
use crate::model::{Namespace, RunId};
use crate::run::RewindError;
use crate::worker::Host;

/// Where a run is to go on from.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RewindRun {
    /// The number of the first event that is to be as if it had not happened.
    pub before: u32,
    /// Whether it only goes on when it is resumed: so it can be moved to another version before.
    #[serde(default)]
    pub pause: bool,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Rewound {
    /// Which rewind of the run it was: 1, 2, ….
    pub rewind: u32,
    /// Events that are no part of its history any more. They are kept: `…/history?rewind=N` has them.
    pub dropped: u32,
    /// The run.
    pub run: RunView,
}

/// Let a run that is paused, in quarantine or has ended go on from before one of its events, as if that one and those after it had not
/// happened. What its calls have asked of others since is asked again, under other keys; what others have sent it since is there again.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/rewind",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    request_body = RewindRun,
    responses(
        (status = 200, body = Rewound),
        (status = 404, body = Problem, content_type = "application/problem+json",
         description = "no-such-run, no-such-event; no-such-version: the one that it is on was deleted"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "wrong-state, cannot-rewind"),
    )
)]
pub(super) async fn rewind_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
    Caller(who): Caller,
    Body(RewindRun { before, pause }): Body<RewindRun>,
) -> Result<Json<Rewound>, Problem> {
    let rewound = host.rewind_run(&namespace, run_id, before, pause, &who).await?;
    let watcher = host.watchers().watch(run_id);
    let run = get_run::wait(&host, &watcher, &namespace, Duration::ZERO, false).await?;
    Ok(Json(Rewound { rewind: rewound.rewind, dropped: rewound.dropped, run }))
}

impl From<RewindError> for Problem {
    fn from(error: RewindError) -> Self {
        match error {
            RewindError::Trial(error) => error.into(),
            RewindError::NoSuchEvent(detail) => Self::new(Code::NoSuchEvent, detail),
            RewindError::CannotRewind(detail) => Self::new(Code::CannotRewind, detail),
        }
    }
}
