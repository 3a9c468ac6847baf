//! `GET /metrics`, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};

use crate::worker::Host;

/// What the host counts, and how many runs there are. It is open to everybody: no names of tenants.
pub(super) async fn metrics(State(host): State<Arc<Host>>) -> ([(HeaderName, &'static str); 1], String) {
    let mut text = format!(
        "# HELP windlass_guest_seconds_total Processor time that guests have used, out of the process's.\n\
         # TYPE windlass_guest_seconds_total counter\n\
         windlass_guest_seconds_total {:.6}\n",
        host.guest_time().as_secs_f64(),
    );
    match host.queue_depths().await {
        Ok(depths) => {
            text.push_str(
                "# HELP windlass_queue_depth Runs of all namespaces that are ready, running or waiting; suspects are ready, late ones \
                 waiting.\n# TYPE windlass_queue_depth gauge\n",
            );
            for depth in depths {
                // Writing to a text cannot fail.
                let _ = writeln!(text, "windlass_queue_depth{{queue=\"{}\"}} {}", depth.queue, depth.depth);
            }
        }
        // What the host knows by itself is told all the same.
        Err(error) => tracing::debug!(%error, "the queues are not known"),
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}
