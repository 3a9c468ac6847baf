//! A run's history delivered to another version of its component: would the run survive the move?

use std::sync::Arc;

use super::program::{Program, ProgramError, Programs};
use super::replay::Replay;
use super::threads::{GuestThreads, Panicked};
use super::turn::HISTORY_CHUNK;
use super::{Stop, Tenant};
use crate::fair::Busy;
use crate::history::Divergence;
use crate::model::{Ask, Call, Durability, Event, Namespace, RunId, RunInfo};
use crate::sandbox::Crash;
use crate::store::{self, Claimed, Standpoint, Store};

/// What came of it.
#[derive(Debug)]
pub struct Trial {
    /// Where the run was.
    pub from: Standpoint,
    /// Why it cannot be moved; none if it can.
    pub misfit: Option<Misfit>,
}

/// Why a run would not survive.
#[derive(Clone, Debug)]
pub struct Misfit {
    /// Where it differs first, in a sentence.
    pub message: String,
    /// The event that the other version does not take, if it is one.
    pub divergence: Option<Divergence>,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The version, or the one that the run is on.
    #[error(transparent)]
    Program(#[from] Arc<ProgramError>),
    /// Too many others are tried.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// This host.
    #[error("{0}")]
    Host(String),
}

/// What a trial needs of a host.
pub struct TrialBench<'a> {
    /// Where the run is kept.
    pub store: &'a Store,
    /// The versions.
    pub programs: &'a Programs,
    /// Where guests compute.
    pub threads: &'a GuestThreads,
    /// Of the run's namespace.
    pub tenant: &'a Tenant,
}

/// Bytes of one part of a history.
pub(super) const CHUNK_BYTES: u32 = 8 << 20;

/// Both at the same place of the history.
struct Pair {
    /// The version that the run is on, as long as it takes its own history: a run that is quarantined may not.
    old: Option<Replay>,
    new: Replay,
}

impl Pair {
    fn new(
        (old, new): (&Program, &Program),
        tenant: &Tenant,
        info: &RunInfo,
        input: &crate::model::Payload,
    ) -> Result<Self, Crash> {
        let replay = |program: &Program| Replay::new(&program.code, &tenant.limits, info.clone(), input.clone());
        Ok(Self { old: replay(old).ok(), new: replay(new)? })
    }

    /// The part goes to both.
    fn deliver(&mut self, events: Vec<Event>, is_complete: bool) -> Result<(), Stop> {
        self.old = self.old.take().and_then(|mut old| old.deliver(events.clone(), is_complete).ok().map(|()| old));
        self.new.deliver(events, is_complete)
    }

    /// The first call that has reached outside, or may have, and that the other version does not make or makes otherwise.
    fn first_difference(&mut self) -> Option<String> {
        let new = self.new.open_calls();
        self.old.as_mut()?.open_calls().iter().find_map(|call| difference(call, &new))
    }
}

impl TrialBench<'_> {
    /// Deliver what has happened to a run to a version of its component. `None`: there is no such run.
    pub async fn try_version(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        version: u32,
    ) -> Result<Option<Trial>, TrialError> {
        let Some(Claimed { info, input, .. }) = self.store.recorded_run(namespace, run_id).await? else {
            return Ok(None);
        };
        let old = self.programs.get(namespace, &info.component, info.version).await?;
        let new = self.programs.get(namespace, &info.component, version).await?;
        let mut from = Standpoint { version: info.version, origin: info.origin, next_seq: info.origin.seq };
        if !new.manifest.workflows.iter().any(|workflow| workflow.name == info.workflow) {
            let message = format!("version {version} has no workflow `{}`", info.workflow);
            return Ok(Some(Trial { from, misfit: Some(Misfit { message, divergence: None }) }));
        }
        let _place = self.programs.trial_place(namespace).await?;
        // What is not committed is not there: the mode makes no difference.
        let info = RunInfo { durability: Durability::Output, ..info };
        let (tenant, info_of_both) = (self.tenant.clone(), info.clone());
        let made = move || Pair::new((&old, &new), &tenant, &info_of_both, &input);
        let mut pair = match self.compute(namespace, made).await? {
            Ok(pair) => pair,
            Err(crash) => return Ok(Some(Trial { from, misfit: Some(crashed(crash)?) })),
        };
        loop {
            let (events, next) =
                self.store.history_page(namespace, run_id, from.next_seq, HISTORY_CHUNK, CHUNK_BYTES).await?;
            let is_complete = next.is_none();
            from.next_seq = events.last().map_or(from.next_seq, |event| event.seq + 1);
            let delivered = move || {
                let delivered = pair.deliver(events, is_complete);
                (pair, delivered)
            };
            let delivered = self.compute(namespace, delivered).await?;
            pair = delivered.0;
            match delivered.1 {
                Err(Stop::Diverged(divergence)) => {
                    let (message, divergence) = (divergence.to_string(), Some(*divergence));
                    return Ok(Some(Trial { from, misfit: Some(Misfit { message, divergence }) }));
                }
                Err(Stop::Crash(crash)) => return Ok(Some(Trial { from, misfit: Some(crashed(crash)?) })),
                Ok(()) if is_complete => break,
                Ok(()) => {}
            }
        }
        // There may be thousands of calls.
        let difference = self.compute(namespace, move || pair.first_difference()).await?;
        let misfit = difference.map(|message| Misfit { message, divergence: None });
        Ok(Some(Trial { from, misfit }))
    }

    pub(super) async fn compute<T: Send + 'static>(
        &self,
        namespace: &Namespace,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TrialError> {
        let computed = self.threads.long(namespace, work).await;
        computed.map_err(|panic: Panicked| TrialError::Host(panic.to_string()))
    }
}

/// The other version crashed over it; or this host could not run it, which says nothing of the version.
fn crashed(crash: Crash) -> Result<Misfit, TrialError> {
    match crash {
        Crash::Host(message) => Err(TrialError::Host(message)),
        crash @ Crash::Trap(_) => Ok(Misfit { message: format!("it crashes: {crash}"), divergence: None }),
    }
}

/// What of an open call would be otherwise; `new` are those of the other version, in order. A wait for a signal, an update or a time
/// has reached nobody: a version may do without it.
fn difference(call: &Call, new: &[Call]) -> Option<String> {
    let what = |ask: &Ask| format!("the {} `{}`", ask.kind(), ask.name());
    let is_alike = |other: &Ask| {
        (other.kind(), other.name(), other.input()) == (call.ask.kind(), call.ask.name(), call.ask.input())
    };
    if matches!(call.ask, Ask::Sleep { .. } | Ask::Receive { .. } | Ask::ReceiveUpdate { .. }) {
        return None;
    }
    let (id, asked) = (call.id, what(&call.ask));
    match new.binary_search_by_key(&id, |other| other.id).ok().map(|at| &new[at].ask) {
        None => Some(format!("call {id}, {asked}, is under way, and this version does not make it")),
        Some(other) if is_alike(other) => None,
        Some(other) if (other.kind(), other.name()) == (call.ask.kind(), call.ask.name()) => {
            Some(format!("call {id}, {asked}, is under way with another input than this version gives it"))
        }
        Some(other) => Some(format!("call {id}, {asked}, is under way, and is {} in this version", what(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Name, Payload, StepOptions, Timestamp};

    fn call(id: u32, ask: Ask) -> Call {
        Call { id, asked_at: Timestamp::from_micros(0), ask }
    }

    fn step(name: &str, input: u32) -> Ask {
        let (name, input) = (Name::new(name).unwrap(), Payload::of(&input));
        Ask::Step { name, input, options: StepOptions::default() }
    }

    #[test]
    fn a_step_that_is_under_way_has_to_be_the_same_call_and_a_wait_does_not() {
        let open = call(5, step("ship", 1));
        let told = |new: &[Call]| difference(&open, new).unwrap_or_default();
        assert_eq!(told(&[call(4, step("pay", 1)), call(5, step("ship", 1))]), "");
        assert_eq!(told(&[]), "call 5, the step `ship`, is under way, and this version does not make it");
        let other = "call 5, the step `ship`, is under way, and is the step `send` in this version";
        assert_eq!(told(&[call(5, step("send", 1))]), other);
        let input = "call 5, the step `ship`, is under way with another input than this version gives it";
        assert_eq!(told(&[call(5, step("ship", 2))]), input);
        let wait = call(5, Ask::Receive { name: Name::new("go").unwrap() });
        assert_eq!(difference(&wait, &[]), None);
    }
}
