//! Until there is news for the guest.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::activate::{Activation, Interruption};
use super::active::Mail;
use super::agenda::Due;
use super::steps::{AttemptEnd, OpenStep, StillRunning};
use crate::history::Delivery;
use crate::model::{CallId, CancelReason, Durability, Failure, Outcome, Payload, Timestamp, code};
use crate::sandbox::{Crash, Trap};
use crate::store::{Attempt, Lost, Record, Source, Verdict};

/// What the wait came to.
pub(super) enum Waited {
    /// There is something for the guest.
    News,
    /// It took too long: the run is parked.
    Parked,
}

/// How often an activation that waits for a step looks into the run's inbox by itself: hints may be lost.
const LETTERS_EVERY: Duration = Duration::from_secs(10);

/// How long a run that was just accepted may wait before it is written: most are over sooner, and are written once.
const HELD_FOR: Duration = Duration::from_millis(2);

/// However far away a time is, it is looked at again after this.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

impl Activation {
    /// Wait for news. A wait that would take long is left to the database.
    pub(super) async fn wait(&mut self) -> Result<Waited, Interruption> {
        let mut idle_since = Instant::now();
        let mut looked_at = idle_since;
        loop {
            let is_paused = self.letters.pause.is_some();
            self.is_held |= is_paused || self.has_no_room();
            if !self.is_held {
                self.collect().await?;
            } else if !self.is_busy() && self.guest().run().is_quiet() {
                return Err(if is_paused { Interruption::Paused } else { Interruption::NoRoom });
            }
            let unwanted = self.letters.take_unwanted(self.dispatched);
            self.writer.append(unwanted.into_iter().map(Record::Discard).collect()).await?;
            self.commit_next().await?;
            if self.guest().run().has_news() {
                return Ok(Waited::News);
            }
            // Times that come while the run is held are for whoever takes it up when there is room.
            let due = if self.is_held { None } else { self.next_due() };
            let park_at = self.may_park(due).then(|| self.park_at(idle_since));
            let look_at = looked_at + LETTERS_EVERY;
            let release_at = self.writer.is_holding().then(|| idle_since + HELD_FOR);
            let (end, shutdown) = (self.end.clone(), self.runner.shutdown.clone());
            tokio::select! {
                biased;
                () = end.cancelled() => return Err(Lost.into()),
                Some(mail) = self.place.mail.recv() => {
                    self.read_all(mail).await?;
                    idle_since = Instant::now();
                }
                () = sleep_until(due.unwrap_or_else(|| idle_since + LOOK_AGAIN)), if due.is_some() => {}
                () = sleep_until(release_at.unwrap_or(look_at)), if release_at.is_some() => self.writer.release().await?,
                () = shutdown.cancelled(), if !shutdown.is_cancelled() => {}
                () = sleep_until(park_at.unwrap_or(look_at)), if park_at.is_some() => {
                    match self.park().await? {
                        Verdict::Done => return Ok(Waited::Parked),
                        Verdict::Mail => self.read_letters().await?,
                    }
                }
                () = sleep_until(look_at), if park_at.is_none() => {
                    self.read_letters().await?;
                    looked_at = Instant::now();
                }
            }
        }
    }

    /// What is there now, for the guest.
    async fn collect(&mut self) -> Result<(), Interruption> {
        let mut retries = Vec::new();
        let now = self.runner.clock.now();
        while let Some(due) = self.agenda.take(now) {
            match due {
                Due::Sleep(call) => self.deliver(completed(call, Outcome::Ok(Payload::null()), 0)),
                Due::Retry(call) => retries.push(call),
                Due::TotalTimeout(call) => self.total_timeout(call),
                Due::Deadline => {
                    self.deliver(Delivery::CancelRequested { reason: CancelReason::Deadline, inbox: None });
                }
            }
        }
        for delivery in self.letters.take() {
            self.deliver(delivery);
        }
        for call in self.whose_turn_it_is(retries).await? {
            if let Some(step) = self.steps.get_mut(&call) {
                self.step_runner.begin(call, step);
            }
        }
        Ok(())
    }

    /// In strict mode the guest sees nothing that is not committed: the next event becomes part of the history first.
    async fn commit_next(&mut self) -> Result<(), Interruption> {
        if self.info.durability == Durability::Output {
            return Ok(());
        }
        let limits = self.tenant.limits.clone();
        self.guest().run().check_history(&limits).map_err(|violation| Crash::Trap(Trap::violation(&violation)))?;
        let Some(event) = self.guest().run().record_next() else { return Ok(()) };
        self.writer.commit(vec![Record::Event(event.clone())]).await?;
        self.has_progressed = true;
        self.guest().context().add_recorded([event], true);
        Ok(())
    }

    /// By this host's clock, the earliest time at which something is due.
    fn next_due(&self) -> Option<Instant> {
        let at = self.agenda.next()?;
        Some(Instant::now() + at.since(self.runner.clock.now()).min(LOOK_AGAIN))
    }

    /// Whether the run could be let go of: no attempt runs, and nothing is due soon, unless this host is to stop.
    fn may_park(&self, due: Option<Instant>) -> bool {
        let soon = Instant::now() + self.runner.config.park_after;
        let is_worth_it = due.is_none_or(|due| due > soon) || self.runner.shutdown.is_cancelled();
        is_worth_it && !self.is_busy()
    }

    /// Whether anything of the run is under way outside its guest.
    fn is_busy(&self) -> bool {
        !self.sends.is_empty() || self.steps.values().any(OpenStep::is_running)
    }

    fn park_at(&self, idle_since: Instant) -> Instant {
        if self.runner.shutdown.is_cancelled() { Instant::now() } else { idle_since + self.runner.config.park_after }
    }

    /// Read this and whatever else has come. Of many hints that letters are there, one is enough.
    async fn read_all(&mut self, first: Mail) -> Result<(), Interruption> {
        let mut letters = false;
        let mut next = Some(first);
        while let Some(mail) = next {
            match mail {
                Mail::Letters => letters = true,
                mail => self.read(mail).await?,
            }
            next = self.place.mail.try_recv().ok();
        }
        if letters { self.read_letters().await } else { Ok(()) }
    }

    async fn read(&mut self, mail: Mail) -> Result<(), Interruption> {
        match mail {
            Mail::Letters => self.read_letters().await,
            Mail::Attempt(end) => self.attempt_ended(*end).await,
            Mail::StillRunning(step) => {
                let StillRunning { call, attempt, started_at, heartbeat } = *step;
                // The workflow may have cancelled the call while this was on its way here.
                let Some(step) = self.steps.get_mut(&call).filter(|step| step.attempt == attempt) else {
                    return Ok(());
                };
                step.heartbeat = heartbeat.clone().or(step.heartbeat.take());
                let (failure, ended_at, next_at) = (None, None, None);
                let (step, attempt_limit) = (Some(step.name.clone()), Some(step.retry.max_attempts));
                let record =
                    Attempt { call, attempt, step, attempt_limit, failure, heartbeat, started_at, ended_at, next_at };
                Ok(self.writer.append(vec![Record::Attempt(record)]).await?)
            }
            Mail::Sent { call, outcome } => {
                if self.sends.remove(&call).is_some() {
                    self.deliver(completed(call, *outcome, 0));
                }
                Ok(())
            }
        }
    }

    /// Look into the run's inbox.
    pub(super) async fn read_letters(&mut self) -> Result<(), Interruption> {
        let letters = self
            .runner
            .store
            .letters(&self.runner.lease, &self.info.namespace, self.info.run_id, self.letters.last())
            .await?;
        self.letters.add(letters.ok_or(Lost)?);
        Ok(())
    }

    async fn attempt_ended(&mut self, end: AttemptEnd) -> Result<(), Interruption> {
        let AttemptEnd { call, attempt, started_at, heartbeat, result, lines } = end;
        let source = Source::Step(call, attempt);
        let mut records = self.keep_lines(source, lines).await?;
        // The workflow may have cancelled the call while the attempt was on its way here.
        if let Some(step) = self.steps.get_mut(&call).filter(|step| step.attempt == attempt) {
            step.ended(heartbeat);
            match result {
                Ok(payload) => {
                    self.steps.remove(&call);
                    self.agenda.forget(call);
                    self.deliver(completed(call, Outcome::Ok(payload), attempt));
                }
                Err(failure) => records.push(self.attempt_failed(call, attempt, started_at, failure)),
            }
        }
        Ok(self.writer.append(records).await?)
    }

    /// Another attempt later, or none.
    fn attempt_failed(&mut self, call: CallId, attempt: u32, started_at: Timestamp, failure: Failure) -> Record {
        let now = self.runner.clock.now();
        let step = self.steps.get_mut(&call);
        let heartbeat = step.as_ref().and_then(|step| step.heartbeat.clone());
        let (name, attempt_limit) = step.as_ref().map(|step| (step.name.clone(), step.retry.max_attempts)).unzip();
        let next_at = step.filter(|_| failure.retryable).and_then(|step| {
            let wait = step.retry.wait(attempt, rand::random())?;
            step.failed(failure.clone());
            Some(now.after(wait))
        });
        match next_at {
            Some(next_at) => self.agenda.set(next_at, Due::Retry(call)),
            None => self.step_failed(call, attempt, failure.clone()),
        }
        let (failure, ended_at) = (Some(failure), Some(now));
        let step = name;
        Record::Attempt(Attempt {
            call,
            attempt,
            step,
            attempt_limit,
            failure,
            heartbeat,
            started_at,
            ended_at,
            next_at,
        })
    }

    /// The call has taken too long, all attempts together: what runs is stopped. The last attempt's failure is the cause.
    fn total_timeout(&mut self, call: CallId) {
        let Some(step) = self.steps.get(&call) else { return };
        let total = humantime::format_duration(step.total_timeout.unwrap_or_default());
        let message = format!("the step took longer than {total}, all attempts together");
        let cause = step.last_failure.as_ref().map(Payload::of);
        let failure = Failure { cause, ..Failure::fatal(code::TOTAL_TIMEOUT, message) };
        self.step_failed(call, step.attempt, failure);
    }

    /// No more attempts: the failure is the step's.
    pub(super) fn step_failed(&mut self, call: CallId, attempt: u32, failure: Failure) {
        self.steps.remove(&call);
        self.agenda.forget(call);
        self.deliver(completed(call, Outcome::Failed(failure), attempt));
    }
}

fn completed(call: CallId, outcome: Outcome, attempt: u32) -> Delivery {
    Delivery::Completed { call, outcome, attempt, inbox: None }
}
