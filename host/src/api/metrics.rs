//! `GET /metrics`, in the text format of Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};

use crate::worker::Host;

/// What the host counts.
pub(super) async fn metrics(State(host): State<Arc<Host>>) -> ([(HeaderName, &'static str); 1], String) {
    let text = format!(
        "# HELP windlass_guest_seconds_total Processor time that guests have used, out of the process's.\n\
         # TYPE windlass_guest_seconds_total counter\n\
         windlass_guest_seconds_total {:.6}\n",
        host.guest_time().as_secs_f64(),
    );
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
