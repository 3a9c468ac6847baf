//! `GET /metrics`, in the text format of Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};

use crate::worker::Host;

/// What the host counts, and how many runs there are. It is open to everybody: no names of tenants.
pub(super) async fn metrics(State(host): State<Arc<Host>>) -> ([(HeaderName, &'static str); 1], String) {
    let mut text = String::new();
    let help = "Processor time that guests have used, out of the process's.";
    family(&mut text, "windlass_guest_seconds_total", "counter", help);
    text += &format!("windlass_guest_seconds_total {:.6}\n", host.guest_time().as_secs_f64());
    let help = "Runs that this host has quarantined, by the code of why.";
    family(&mut text, "windlass_runs_quarantined_total", "counter", help);
    for (code, runs) in host.quarantines() {
        text += &format!("windlass_runs_quarantined_total{{code=\"{code}\"}} {runs}\n");
    }
    match host.standing().await {
        Ok(standing) => {
            let help = "Runs of all namespaces that are ready, running, waiting or paused; suspects, and those beyond what any \
                        host at work has learnt, are ready, late ones waiting.";
            family(&mut text, "windlass_queue_depth", "gauge", help);
            for depth in standing.queues {
                text += &format!("windlass_queue_depth{{queue=\"{}\"}} {}\n", depth.queue, depth.depth);
            }
            let help = "Runs of all namespaces that are in quarantine, by the code of why.";
            family(&mut text, "windlass_runs_in_quarantine", "gauge", help);
            for quarantined in standing.quarantined {
                let (code, runs) = (quarantined.code, quarantined.runs);
                text += &format!("windlass_runs_in_quarantine{{code=\"{code}\"}} {runs}\n");
            }
        }
        // What the host knows by itself is told all the same.
        Err(error) => tracing::debug!(%error, "how runs stand is not known"),
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// What a name means.
fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    *text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
}
