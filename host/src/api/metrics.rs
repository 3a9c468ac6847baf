//! `GET /metrics`, in the text format of Prometheus.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, header};

use crate::worker::Host;

/// What the host counts, and how many runs there are. It is open to everybody: no names of tenants.
pub(super) async fn metrics(State(host): State<Arc<Host>>) -> ([(HeaderName, &'static str); 1], String) {
    let mut text = String::new();
    let help = "Processor time that guests have used, out of the process's.";
    family(&mut text, "windlass_guest_seconds_total", "counter", help);
    // Writing to a text cannot fail, here and below.
    let _ = writeln!(text, "windlass_guest_seconds_total {:.6}", host.guest_time().as_secs_f64());
    let help = "Runs that this host has quarantined, by the code of why.";
    family(&mut text, "windlass_runs_quarantined_total", "counter", help);
    for (code, runs) in host.quarantines() {
        // Writing to a text does not fail.
        let _ = writeln!(text, "windlass_runs_quarantined_total{{code=\"{code}\"}} {runs}");
    }
    match host.standing().await {
        Ok(standing) => {
            let help = "Runs of all namespaces that are ready, running, waiting or paused; suspects, and those beyond what any \
                        host at work has learnt, are ready, late ones waiting.";
            family(&mut text, "windlass_queue_depth", "gauge", help);
            for depth in standing.queues {
                // Writing to a text does not fail.
                let _ = writeln!(text, "windlass_queue_depth{{queue=\"{}\"}} {}", depth.queue, depth.depth);
            }
            let help = "Runs of all namespaces that are in quarantine, by the code of why.";
            family(&mut text, "windlass_runs_in_quarantine", "gauge", help);
            for quarantined in standing.quarantined {
                let (code, runs) = (quarantined.code, quarantined.runs);
                // Writing to a text does not fail.
                let _ = writeln!(text, "windlass_runs_in_quarantine{{code=\"{code}\"}} {runs}");
            }
        }
        // What the host knows by itself is told all the same.
        Err(error) => tracing::debug!(%error, "how runs stand is not known"),
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// What a name means.
fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a text cannot fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}
