//! A run's history delivered to another version of its component: would the run survive the move?

use std::sync::Arc;

use super::program::{Program, ProgramError, Programs};
use super::replay::Replay;
use super::threads::{GuestThreads, Panicked};
use super::turn::HISTORY_CHUNK;
use super::under_way::UnderWay;
use super::{Stop, Tenant};
use crate::fair::Busy;
use crate::history::Divergence;
use crate::model::{Durability, Event, Namespace, RunId, RunInfo};
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
        self.old.as_mut()?.open_calls().iter().find_map(|call| UnderWay::from(call).difference(&new))
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
