//! Signals that a run sends to runs: steps that the host itself does, and does exactly once.

use std::sync::Arc;
use std::time::Duration;

use super::activate::Activation;
use super::active::Mail;
use super::gate::RunGate;
use super::steps::Running;
use crate::model::{CallId, Failure, Name, Outcome, Payload, RunId, RunInfo, code};
use crate::sandbox::Gate;
use crate::store::{Error, Hint, InboxMax, Sent};

/// Signals that are sent at once: a run may want to send thousands, and the sessions are there for all that is asked for.
pub(super) const SENDS_MAX: usize = 4;

/// Between attempts to reach the database.
const RETRY: Duration = Duration::from_millis(200);

impl Activation {
    /// Begin to send. What becomes of it comes by mail. A run that asks again, after a crash, asks for the same signal: its
    /// id says so.
    pub(super) fn send(&mut self, call: CallId, to: RunId, name: Name, payload: Payload) {
        let runner = self.runner.clone();
        let gate = RunGate { lease: runner.lease.clone(), writer: self.writer.clone() };
        let (info, address): (Arc<RunInfo>, _) = (self.info.clone(), self.place.address.clone());
        let (inbox, account) = (InboxMax::from(&*self.tenant.limits), self.tenant.account.clone());
        let sending = tokio::spawn(async move {
            let signal_id = format!("run/{}", info.key_of(call));
            let outcome = loop {
                // Nothing leaves before what led to it is committed.
                if gate.pass().await.is_err() {
                    return;
                }
                let place = runner.send_places.acquire(&info.namespace).await;
                let sent =
                    runner.store.send_signal(&info.namespace, to, &name, &payload, Some(&signal_id), inbox).await;
                drop(place);
                if let Ok(sent) = &sent {
                    if sent.accepted {
                        account.add_row(payload.len());
                    }
                    let hint = if sent.owner.is_some() { Hint::Mail(to) } else { Hint::Ready };
                    // A host that stops needs no hints.
                    let _ = runner.hints.send(hint);
                }
                match outcome(sent) {
                    Ok(outcome) => break outcome,
                    Err(error) => {
                        tracing::warn!(%error, run.id = %info.run_id, "a signal could not be sent; it is tried again");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
            // An activation that is over wants no mail.
            let _ = address.send(Mail::Sent { call, outcome: Box::new(outcome) });
        });
        self.sends.insert(call, Running::new(&sending));
    }
}

/// What the workflow hears; an error if that is not known yet.
fn outcome(sent: Result<Sent, Error>) -> Result<Outcome, Error> {
    let refused = |code, error: &Error| Ok(Outcome::Failed(Failure::fatal(code, error)));
    match sent {
        Ok(_) => Ok(Outcome::Ok(Payload::null())),
        Err(error @ Error::NoSuchRun) => refused(code::NO_SUCH_RUN, &error),
        Err(error @ Error::RunEnded(_)) => refused(code::RUN_ENDED, &error),
        Err(error @ Error::InboxFull(_)) => refused(code::INBOX_FULL, &error),
        Err(error) => Err(error),
    }
}
