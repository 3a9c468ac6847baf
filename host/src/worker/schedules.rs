//! Schedules, as the API asks for them.

use super::Host;
use super::fire_schedules::next_of;
use crate::model::{Name, Namespace, RunId, Schedule, ScheduleError, Timestamp, Who, run_of_tick};
use crate::store::{self, Hint, PutSchedule, RunsOfTicks, ScheduleSummary, TickNote};

/// Most ticks that one request can backfill.
pub const BACKFILL_MAX: usize = 1_000;

/// Most bytes of the inputs of their runs, together.
const BACKFILL_BYTES: usize = 64 << 20;

/// How many of the last ticks are shown.
const TICKS_SHOWN: u32 = 10;

/// Why a schedule is not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutScheduleError {
    /// It cannot be so.
    #[error(transparent)]
    Invalid(#[from] ScheduleError),
    /// The namespace has as many as it may.
    #[error(
        "the namespace has {0} schedules, which is as many as it may (`schedules`): delete those that nobody needs"
    )]
    TooMany(u32),
    /// No component of the namespace has the workflow.
    #[error("deploy a component that has the workflow `{0}`, or check its name")]
    NoSuchWorkflow(Name),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Why no run was started.
#[derive(Debug, thiserror::Error)]
pub enum TriggerError {
    /// There is no such schedule in the namespace.
    #[error("check its name, and the namespace in the address")]
    NoSuchSchedule,
    /// No component of the namespace has its workflow any more.
    #[error("no component of the namespace has its workflow any more: deploy one, or change the schedule")]
    NoSuchWorkflow,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Why no ticks were backfilled.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// More than there may be at once.
    #[error("{0}: ask for a shorter range, and then for the next")]
    TooMany(String),
    /// The range ends before it begins, or has not come to its end.
    #[error("a range ends after it has begun, and before now: later ticks start their runs by themselves")]
    Range,
    /// No run was started.
    #[error(transparent)]
    Trigger(#[from] TriggerError),
}

/// The ticks of a range have their runs.
#[derive(Clone, Copy, Debug)]
pub struct Backfilled {
    /// So many ticks are in it.
    pub ticks: usize,
    /// So many of them had none.
    pub started: u32,
}

impl Host {
    /// Keep a schedule, in place of one of this name if there is one. Returns whether it is a new one.
    pub async fn put_schedule(
        &self,
        namespace: &Namespace,
        name: &Name,
        schedule: &Schedule,
        who: &Who,
    ) -> Result<bool, PutScheduleError> {
        let tenant = self.tenant_with_room(namespace).await?;
        let before = self.store.get_schedule(namespace, name).await?;
        let now = match &before {
            // Asked again, it changes nothing: whoever keeps schedules in files puts them all, again and again.
            Some(before) if before.schedule == *schedule => return Ok(false),
            Some(before) => before.read_at,
            None => self.store.now().await?,
        };
        let next = schedule.check(now)?;
        let next = next.and_then(|_| next_of((namespace, name), &schedule.spec, schedule.jitter, now));
        let most = tenant.limits.schedules;
        match self.store.put_schedule((namespace, name), schedule, next, most, who).await? {
            PutSchedule::Kept { is_new, bytes } => {
                tenant.account.add(bytes);
                self.schedules_changed();
                Ok(is_new)
            }
            PutSchedule::TooMany => Err(PutScheduleError::TooMany(most)),
            PutSchedule::NoSuchWorkflow => Err(PutScheduleError::NoSuchWorkflow(schedule.workflow.clone())),
            PutSchedule::Never => Err(ScheduleError::Never.into()),
        }
    }

    /// A schedule, with what became of its last ticks; `None` if there is no such.
    pub async fn get_schedule(
        &self,
        namespace: &Namespace,
        name: &Name,
    ) -> store::Result<Option<(ScheduleSummary, Vec<TickNote>)>> {
        let Some(schedule) = self.store.get_schedule(namespace, name).await? else { return Ok(None) };
        let ticks = self.store.ticks(namespace, name, TICKS_SHOWN).await?;
        Ok(Some((schedule, ticks)))
    }

    /// Forget a schedule. Returns whether there was such.
    pub async fn delete_schedule(&self, namespace: &Namespace, name: &Name, who: &Who) -> store::Result<bool> {
        let tenant = self.tenant(namespace).await?;
        let freed = self.store.delete_schedule(namespace, name, who).await?;
        tenant.account.add(-freed.unwrap_or_default());
        Ok(freed.is_some())
    }

    /// Let a schedule go on, with the first tick from now on. Returns whether there is such.
    pub async fn resume_schedule(&self, namespace: &Namespace, name: &Name, who: &Who) -> store::Result<bool> {
        loop {
            let Some(found) = self.store.get_schedule(namespace, name).await? else { return Ok(false) };
            let spec = &found.schedule.spec;
            let next = next_of((namespace, name), spec, found.schedule.jitter, found.read_at);
            // It may have been changed since.
            if self.store.resume_schedule((namespace, name), &found.spec_text, next, who).await? {
                self.schedules_changed();
                return Ok(true);
            }
        }
    }

    /// Start a run of a schedule now.
    pub async fn trigger_schedule(&self, namespace: &Namespace, name: &Name, who: &Who) -> Result<RunId, TriggerError> {
        let tenant = self.tenant_with_room(namespace).await?;
        let now = self.store.now().await?;
        let run = run_of_tick(namespace, name, now);
        let triggered = self.store.trigger_schedule((namespace, name), now, &run, who).await?;
        let (_, bytes) = started(triggered)?;
        tenant.account.add(bytes);
        self.became_ready();
        Ok(run.1)
    }

    /// Start the runs of the ticks of a schedule from one time to another, both included, that are not there.
    pub async fn backfill_schedule(
        &self,
        namespace: &Namespace,
        name: &Name,
        (from, to): (Timestamp, Timestamp),
        who: &Who,
    ) -> Result<Backfilled, BackfillError> {
        let found = self.store.get_schedule(namespace, name).await.map_err(TriggerError::from)?;
        let found = found.ok_or(TriggerError::NoSuchSchedule)?;
        if from > to || to > found.read_at {
            return Err(BackfillError::Range);
        }
        let spec = &found.schedule.spec;
        let just_before = Timestamp::from_micros(i64::try_from(from.as_micros()).unwrap_or(i64::MAX) - 1);
        let ticks = spec.ticks_after(just_before).take_while(|tick| *tick <= to).take(BACKFILL_MAX + 1);
        let ticks: Vec<_> = ticks.map(|tick| (tick, run_of_tick(namespace, name, tick))).collect();
        if ticks.len() > BACKFILL_MAX {
            return Err(BackfillError::TooMany(format!("there are more than {BACKFILL_MAX} ticks in it")));
        }
        if ticks.len() * found.schedule.input.len() > BACKFILL_BYTES {
            let (ticks, mebibytes) = (ticks.len(), BACKFILL_BYTES >> 20);
            return Err(BackfillError::TooMany(format!(
                "the inputs of the {ticks} runs have more than {mebibytes} MiB"
            )));
        }
        if ticks.is_empty() {
            return Ok(Backfilled { ticks: 0, started: 0 });
        }
        let tenant = self.tenant_with_room(namespace).await.map_err(TriggerError::from)?;
        let filled = self.store.backfill_schedule((namespace, name), &found.spec_text, &ticks, who).await;
        let (count, bytes) = started(filled.map_err(TriggerError::from)?)?;
        tenant.account.add(bytes);
        self.became_ready();
        Ok(Backfilled { ticks: ticks.len(), started: count })
    }

    /// The next tick of one of them may be sooner than hosts know.
    fn schedules_changed(&self) {
        self.schedules.notify_one();
        self.notifier.send(Hint::Schedule);
    }
}

fn started(runs: RunsOfTicks) -> Result<(u32, i64), TriggerError> {
    match runs {
        RunsOfTicks::Started { count, bytes } => Ok((count, bytes)),
        // The only reason that the database itself has.
        RunsOfTicks::Failed(_) => Err(TriggerError::NoSuchWorkflow),
        RunsOfTicks::NoSuchSchedule => Err(TriggerError::NoSuchSchedule),
    }
}
