//! Rewinding runs, forking them, and trying again what has failed, as the API asks for it.

use std::time::{Duration, Instant};

use super::Host;
use super::versions::{LOOK_AGAIN, PATIENCE};
use crate::model::{EventKind, Failure, Fork, Namespace, Outcome, RunId, RunState, Who, code};
use crate::run::{RewindError, TrialBench, TrialError};
use crate::store::{self, ABOUT_TO_BE_PAUSED, Rewound, RunSummary};

/// After this time, a host that was at a run that somebody has ended has heard of it: it looks into the inbox at least every ten
/// seconds. Until then it may still add to the history.
const HEARD_OF: Duration = Duration::from_secs(15);

/// What came of asking for a fork.
#[derive(Clone, Copy, Debug)]
pub enum ForkedRun {
    /// It is there now.
    New(RunId),
    /// The same was asked for before, under the same key.
    Before(RunId),
    /// The key belongs to another run.
    Conflict(RunId),
}

impl Host {
    /// Rewind a run to before one of its events. It must be paused, in quarantine, or have ended. With `pause`, it goes on when it is
    /// resumed.
    pub async fn rewind_run(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        before: u32,
        pause: bool,
        who: &Who,
    ) -> Result<Rewound, RewindError> {
        let begun = Instant::now();
        loop {
            let run = self.store.get_run(namespace, run_id).await?.ok_or(store::Error::NoSuchRun)?;
            if matches!(run.state, RunState::Ready | RunState::Waiting) {
                return Err(store::Error::WrongState(run.state.as_str().to_owned()).into());
            }
            match self.rewind(namespace, &run, before, pause, ("run.rewind", who)).await {
                Err(RewindError::Trial(TrialError::Store(store::Error::WrongState(state))))
                    if state == ABOUT_TO_BE_PAUSED && begun.elapsed() < PATIENCE && !self.shutdown.is_cancelled() =>
                {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                rewound => return rewound,
            }
        }
    }

    /// Try again what a run has failed at; or go on with one that was quarantined.
    pub async fn retry_run(&self, namespace: &Namespace, run_id: RunId, who: &Who) -> Result<(), RewindError> {
        let run = self.store.get_run(namespace, run_id).await?.ok_or(store::Error::NoSuchRun)?;
        if run.state == RunState::Failed {
            let before = self.failed_event(namespace, &run).await?;
            return self.rewind(namespace, &run, before, false, ("run.retry", who)).await.map(drop);
        }
        self.store.retry_run(namespace, run_id, who).await?;
        self.became_ready();
        Ok(())
    }

    async fn rewind(
        &self,
        namespace: &Namespace,
        run: &RunSummary,
        before: u32,
        pause: bool,
        what: (&str, &Who),
    ) -> Result<Rewound, RewindError> {
        let run_id = run.run_id;
        self.check_left(run).await?;
        let tenant = self.tenant(namespace).await?;
        let (store, programs, threads) = (&self.store, &*self.programs, &self.threads);
        let bench = TrialBench { store, programs, threads, tenant: &tenant };
        let point = bench.point_before(namespace, run_id, before, (run.events, run.state.is_closed())).await?;
        let redone = self.store.redone_calls(namespace, run_id, before, point.next_call).await?;
        let lineage = point.info.rewound(point.next_call, redone);
        let rewound = match self.store.rewind_run(namespace, &point, &lineage, pause, what).await {
            Err(store::Error::NoSuchRun) if self.store.archived_state(namespace, run_id).await?.is_some() => {
                Err(store::Error::WrongState("archived".to_owned()))
            }
            rewound => rewound,
        }?;
        tenant.account.add(rewound.bytes);
        self.became_ready();
        self.watchers.changed(run_id);
        Ok(rewound)
    }

    /// Refuse a run that was ended from outside so lately that a host may still be at it.
    async fn check_left(&self, run: &RunSummary) -> Result<(), RewindError> {
        let failure: Option<Failure> =
            run.result.as_ref().and_then(|result| serde_json::from_slice(result.as_bytes()).ok());
        let is_terminated = failure.is_some_and(|failure| failure.code == code::TERMINATED);
        let Some(closed_at) = run.closed_at.filter(|_| is_terminated) else { return Ok(()) };
        if self.store.now().await?.since(closed_at) < HEARD_OF {
            let state = "terminated, but so lately that a host may still be at it (try again in 15 seconds)";
            return Err(store::Error::WrongState(state.to_owned()).into());
        }
        Ok(())
    }

    /// The event that a run has failed at: its last one, if that is a failure. One that went on after a failure has dealt with it, and may
    /// have undone by then what came before.
    async fn failed_event(&self, namespace: &Namespace, run: &RunSummary) -> Result<u32, RewindError> {
        let run_id = run.run_id;
        let last = match run.events.checked_sub(1) {
            Some(last) => self.store.history_page(namespace, run_id, last, 1, 1).await?.0.pop(),
            None => None,
        };
        let failed = |kind: &EventKind| match kind {
            EventKind::Completed { call, outcome: Outcome::Failed(_), .. } => Some(call.clone()),
            _ => None,
        };
        let Some((last, call)) = last.and_then(|last| Some((last.seq, failed(&last.kind)?))) else {
            let next = run.events;
            return Err(RewindError::CannotRewind(format!(
                "its last event is no failure that could be tried again. `windlass history {run_id}` shows its events: rewind it to before \
                 one of them, or to before {next} to let it go on from where it was"
            )));
        };
        let recorded = self.store.recorded_run(namespace, run_id).await?.ok_or(store::Error::NoSuchRun)?;
        let child = recorded.info.child_of(call.id);
        match self.store.get_run(namespace, child).await? {
            Some(child) if matches!(child.state, RunState::Failed | RunState::Cancelled) => {
                Err(RewindError::CannotRewind(format!(
                    "it failed because its child {} did, and would be told the same again: retry that one first, and then this one",
                    child.run_id
                )))
            }
            _ => Ok(last),
        }
    }

    /// Start another run with the history of one up to an event. `key`: the same again is the same run.
    pub async fn fork_run(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        before: u32,
        (key, pause): (Option<&str>, bool),
        who: &Who,
    ) -> Result<ForkedRun, RewindError> {
        let tenant = self.tenant_with_room(namespace).await?;
        let fork_id = key.map_or_else(RunId::new, |key| RunId::from_key(namespace, key));
        let asked = Fork { run_id, before };
        if key.is_some()
            && let Some(known) = self.known_fork(namespace, fork_id, asked).await?
        {
            return Ok(known);
        }
        let run = self.store.get_run(namespace, run_id).await?.ok_or(store::Error::NoSuchRun)?;
        let (store, programs, threads) = (&self.store, &*self.programs, &self.threads);
        let bench = TrialBench { store, programs, threads, tenant: &tenant };
        let point = bench.point_before(namespace, run_id, before, (run.events, true)).await?;
        if let Some((call, _)) = point.children.first() {
            return Err(RewindError::CannotRewind(format!(
                "before event {before}, the run waits for its child {} (call {call}), and a child has one parent: fork it where it waits for \
                 none",
                point.info.child_of(*call)
            )));
        }
        let lineage = point.info.forked(fork_id, before, point.next_call);
        let forked = match store.fork_run(namespace, &point, (fork_id, key), &lineage, pause, who).await {
            Err(store::Error::NoSuchRun) if store.archived_state(namespace, run_id).await?.is_some() => {
                Err(store::Error::WrongState("archived".to_owned()))
            }
            forked => forked,
        }?;
        if !forked.created {
            return Ok(self.known_fork(namespace, fork_id, asked).await?.unwrap_or(ForkedRun::Conflict(fork_id)));
        }
        tenant.account.add(forked.bytes);
        self.became_ready();
        Ok(ForkedRun::New(fork_id))
    }

    /// The run of this id, if there is one: is it the fork that is asked for?
    async fn known_fork(
        &self,
        namespace: &Namespace,
        fork_id: RunId,
        asked: Fork,
    ) -> Result<Option<ForkedRun>, RewindError> {
        let known = self.store.recorded_run(namespace, fork_id).await?;
        Ok(known.map(|known| match known.info.lineage.forked_from {
            Some(fork) if fork == asked => ForkedRun::Before(fork_id),
            _ => ForkedRun::Conflict(fork_id),
        }))
    }
}
