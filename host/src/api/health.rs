//! `GET /healthz` and `GET /readyz`, for whatever watches over the process.

use std::sync::Arc;

use axum::extract::State;

use super::{Code, Problem};
use crate::worker::Host;

/// The process answers.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The database answers, and the host can take up runs.
pub(super) async fn readyz(State(host): State<Arc<Host>>) -> Result<&'static str, Problem> {
    host.store.ping().await?;
    if !host.is_serving() {
        return Err(Problem::new(Code::Unavailable, "the host has no lease yet, or is stopping"));
    }
    Ok("ready\n")
}
