//! Runs that cannot be continued safely wait for a person, with a report. Their history stays as it is.

use serde::{Deserialize, Serialize};

use super::Stop;
use super::activate::Activation;
use crate::history::Divergence;
use crate::model::Payload;
use crate::sandbox::{Crash, Trap};
use crate::store::{Close, CloseState, Record};

/// Why a run is in quarantine. Kept as its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// A stable word: `divergence`, or the code of the trap.
    pub code: String,
    /// What happened, and what to do.
    pub message: String,
    /// How often in a row it was taken up, or its host died, without progress.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub strikes: u16,
    /// The last line that the guest logged as an error: where SDKs put the message of a panic.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_error: Option<String>,
    /// The guest's functions, innermost first, where the component carries names.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub backtrace: Vec<String>,
    /// The event that could not be delivered again, with the call as history has it and as the guest made it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub divergence: Option<Divergence>,
}

/// What to do about runs that are quarantined with a code.
pub fn advice(code: &str) -> &'static str {
    match code {
        "divergence" => {
            "their version does not do what it did before. Compare the report's two calls (`windlass get RUN`), deploy a version that \
             makes the recorded one, move them to it (`windlass migrate`), and then `windlass retry`"
        }
        "host-died" => {
            "hosts died while they were at them. Look into the hosts' logs and memory first; `windlass retry` takes them up again, \
             each of them alone"
        }
        "guest-panic" | "guest-trap" | "guest-exit" | "stack-exhausted" | "not-pulled" | "yields-too-often" => {
            "their code fails, and would again. The report says where (`windlass get RUN`): deploy a version that does not, move them to \
             it (`windlass migrate`), and then `windlass retry`"
        }
        _ => {
            "they want more than they may have, or break a rule of the contract: docs/errors.md says which. Raise the limit, or deploy a \
             version that keeps it and move them (`windlass migrate`), and then `windlass retry`"
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// Crashes in a row that depend on the time, where deaths of hosts do not count.
const TRAPS_MAX: u16 = 3;

impl Activation {
    /// The guest stopped without progress: quarantine, unless another time or place may help.
    pub(super) async fn stopped(&mut self, stop: Stop) {
        let run_id = self.info.run_id;
        let report = match stop {
            Stop::Crash(Crash::Host(message)) => {
                tracing::warn!(run.id = %run_id, %message, "the guest could not be run; it is tried again");
                return self.back_off(self.claimed.strikes).await;
            }
            Stop::Crash(Crash::Trap(trap)) => {
                let strikes = if self.has_progressed { 1 } else { self.claimed.strikes + 1 };
                if !trap.deterministic && strikes < self.runner.config.strikes_max.unwrap_or(TRAPS_MAX) {
                    tracing::info!(run.id = %run_id, code = %trap.code, strikes, "the guest crashed; it is tried again");
                    return self.back_off(strikes).await;
                }
                Report { strikes, ..self.report_trap(trap) }
            }
            Stop::Diverged(divergence) => Report {
                backtrace: self.where_asked(&divergence).await,
                code: "divergence".to_owned(),
                message: format!(
                    "the guest asked something other than its history says: {divergence}. A workflow must do the same \
                     whenever it sees the same events: what varies belongs in a step"
                ),
                strikes: self.claimed.strikes,
                last_error: None,
                divergence: Some(*divergence),
            },
        };
        self.quarantine(report).await;
    }

    /// Whether hosts have died of it too often, as it seems.
    pub(super) fn has_killed_hosts(&self) -> bool {
        self.runner.config.strikes_max.is_some_and(|most| self.claimed.strikes >= most)
    }

    /// Hosts have died of it, as it seems: it is not taken up once more.
    pub(super) async fn killed_hosts(&mut self) {
        let message = format!(
            "hosts have died {} times in a row while they were at this run, without any progress, the last time while it was the only \
             one that was new to its host. It is not taken up again, so that others are not taken down with it",
            self.claimed.strikes
        );
        let (code, strikes) = ("host-died".to_owned(), self.claimed.strikes);
        let report = Report { code, message, strikes, last_error: None, backtrace: Vec::new(), divergence: None };
        self.quarantine(report).await;
    }

    async fn quarantine(&mut self, report: Report) {
        let run_id = self.info.run_id;
        tracing::warn!(run.id = %run_id, code = %report.code, "the run is quarantined");
        let (state, result, at) = (CloseState::Quarantined, Payload::of(&report), self.runner.clock.now());
        let close = Record::Close(Close { state, result, code: Some(report.code.clone()), at });
        match self.writer.commit(vec![close]).await {
            Ok(_) => self.runner.quarantines.add(&report.code),
            Err(lost) => tracing::debug!(run.id = %run_id, "{lost}"),
        }
    }

    async fn where_asked(&mut self, divergence: &Divergence) -> Vec<String> {
        let Some(asked) = &divergence.actual else { return Vec::new() };
        self.backtrace_of(asked.call).await.unwrap_or_else(|error| {
            tracing::debug!(run.id = %self.info.run_id, %error, "where the guest has diverged is not known");
            Vec::new()
        })
    }

    fn report_trap(&mut self, trap: Trap) -> Report {
        let last_error = self.guest.as_mut().and_then(|guest| guest.context().log.last_error());
        let message = format!(
            "the workflow cannot go on: {}. The same would happen again; it takes a version of its code that does not do this",
            trap.message
        );
        Report { code: trap.code, message, strikes: 0, last_error, backtrace: trap.backtrace, divergence: None }
    }
}
