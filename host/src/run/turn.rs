//! Letting the guest compute, and writing down what it did.

use std::mem;
use std::sync::Arc;

use super::activate::{Activation, Interruption};
use super::guest::{Guest, Progress, Stop};
use super::steps::StepRunner;
use super::threads::Panicked;
use crate::history::{Delivery, Divergence};
use crate::imports::{Effects, Time};
use crate::model::Ask;
use crate::store::{Record, Source};

/// Events that are read and delivered at a time.
pub(super) const HISTORY_CHUNK: u32 = 2_000;

/// The guest has come to rest.
pub(super) struct Turned(pub(super) Progress);

impl Activation {
    /// An instance with its history, or the first part of it: the one that stayed in memory, which lacks only what other
    /// hosts have added, or a new one.
    pub(super) async fn prepare_guest(&mut self) -> Result<(), Interruption> {
        // One of an earlier generation or of another version is of no use: the run may have continued as new at another host, or
        // somebody has moved or rewound it.
        let now = self.info.clone();
        let is_same = |guest: &Guest| {
            guest.info().is_some_and(|info| {
                (info.origin, info.version, &info.lineage) == (now.origin, now.version, &now.lineage)
            })
        };
        let resident = self.runner.residents.take(self.info.run_id).filter(is_same);
        self.guest = Some(match resident {
            Some(mut guest) => {
                guest.rejoin(self.tenant.limits.clone(), self.end.clone());
                // Another host may have been at the run meanwhile.
                guest.run().set_tags(self.claimed.tags.clone());
                guest
            }
            None => self.new_guest().await?,
        });
        let next_unread = self.guest().run().next_unread();
        if self.is_new || self.claimed.standing.is_some_and(|standing| standing.next_seq == next_unread) {
            self.guest().context().add_recorded([], true);
            return Ok(());
        }
        self.feed_history().await
    }

    /// A new instance, at the beginning.
    pub(super) async fn new_guest(&mut self) -> Result<Guest, Interruption> {
        let mut guest = self.instantiate().await?;
        guest.run().set_tags(self.claimed.tags.clone());
        if self.info.origin.generation > 0 {
            // What earlier generations show counts as well.
            guest.run().set_published(self.runner.store.published_sizes(self.info.run_id).await?);
        }
        Ok(guest)
    }

    async fn instantiate(&mut self) -> Result<Guest, Interruption> {
        let clock = self.runner.clock.clone();
        let time: Time = Arc::new(move || clock.now());
        let StepRunner { program, limits, .. } = &*self.step_runner;
        let (limits, end, info) = (limits.clone(), self.end.clone(), self.info.clone());
        let panicked = |panic: Panicked| Interruption::Host(panic.to_string());
        let threads = &self.runner.threads;
        if !program.takes_long() && threads.has_time(&info.namespace) {
            let (limits, end, info, time) = (limits.clone(), end.clone(), info.clone(), time.clone());
            let namespace = &self.info.namespace;
            let made = threads.short(namespace, || Guest::new_in_slice(&program.code, limits, end, info, time));
            if let Some(guest) = made.await.map_err(panicked)?? {
                return Ok(guest);
            }
            program.set_takes_long();
        }
        let code = program.code.clone();
        let made = threads.long(&self.info.namespace, move || Guest::new(&code, limits, end, info, time)).await;
        Ok(made.map_err(panicked)??)
    }

    /// The next part of the history.
    async fn feed_history(&mut self) -> Result<(), Interruption> {
        let first = self.guest().run().next_unread();
        let Self { runner, info, .. } = &*self;
        let events = runner.store.history(&info.namespace, info.run_id, first, HISTORY_CHUNK).await?;
        let is_complete = events.len() < HISTORY_CHUNK as usize;
        self.guest().context().add_recorded(events, is_complete);
        Ok(())
    }

    /// Call the guest on a thread of its own, if there is something for it; then hand what it did to the writer.
    pub(super) async fn turn(&mut self) -> Result<Turned, Interruption> {
        let is_at_rest = self.guest().is_started() && !self.guest().has_yielded();
        if is_at_rest && !self.guest().run().has_news() && self.guest().run().is_live() {
            // It stayed in memory, and nothing has been added to its history.
            return Ok(Turned(Progress::Waiting));
        }
        let progress = match self.call_guest().await? {
            Ok(Some(progress)) => progress,
            Ok(None) => {
                self.begin_anew().await?;
                return Ok(Turned(Progress::Yielded));
            }
            Err(stop) => {
                // What was delivered was delivered: it need not happen again for whoever looks into the crash.
                self.write_effects().await?;
                return Err(stop.into());
            }
        };
        let is_over = !matches!(progress, Progress::Waiting | Progress::Yielded);
        if !self.guest().run().is_live() && (is_over || self.guest().run().unpulled().is_none()) {
            self.feed_history().await?;
        }
        if is_over && let Some(event) = self.guest().run().unpulled() {
            return Err(Interruption::Stop(Box::new(Divergence::ended_early(event)).into()));
        }
        self.write_effects().await?;
        Ok(Turned(progress))
    }

    /// On this thread, if the program is not known to take long and the namespace has not used more than is fair. `None`: now the
    /// program is known to, and the guest was stopped.
    async fn call_guest(&mut self) -> Result<Result<Option<Progress>, Stop>, Interruption> {
        let mut guest = self.guest.take().expect("the guest is back from its turn");
        let threads = &self.runner.threads;
        let namespace = &self.info.namespace;
        let returned = if self.step_runner.program.takes_long() || !threads.has_time(namespace) {
            let (info, input) = (self.info.clone(), self.claimed.input.clone());
            let turn = threads.long(namespace, move || {
                let progress = guest.turn(&info, &input).map(Some);
                (guest, progress)
            });
            turn.await
        } else {
            let turn = threads.short(namespace, || {
                let progress = guest.turn_in_slice(&self.info, &self.claimed.input);
                (guest, progress)
            });
            turn.await
        };
        let (guest, progress) = returned.map_err(|panic| Interruption::Host(panic.to_string()))?;
        self.guest = Some(guest);
        Ok(progress)
    }

    /// The guest takes long, and was stopped in the middle of a turn: a new one is brought to where it was, as after a crash
    /// of the host, and goes on where it is in nobody's way. So do all others of its program from now on.
    async fn begin_anew(&mut self) -> Result<(), Interruption> {
        self.step_runner.program.set_takes_long();
        self.write_effects().await?;
        self.writer.commit(Vec::new()).await?;
        let live = mem::take(&mut self.guest().run().live);
        let mut guest = self.new_guest().await?;
        guest.run().live = live;
        guest.run().set_dispatched(self.dispatched);
        self.guest = Some(guest);
        self.feed_history().await
    }

    async fn write_effects(&mut self) -> Result<(), Interruption> {
        let lines = self.guest().context().log.take();
        let mut records = self.keep_lines(Source::Workflow(self.info.origin.generation), lines).await?;
        let effects = mem::take(&mut self.guest().run().effects);
        let Effects { events, cancelled, published, replaced_bytes, has_tagged, answers, discarded } = effects;
        self.writer.replaced(replaced_bytes);
        self.has_progressed |= !events.is_empty();
        records.extend(events.into_iter().map(Record::Event));
        records.extend(published.into_iter().map(|(key, value)| Record::Publish(key, value)));
        records.extend(has_tagged.then(|| self.retag()));
        records.extend(answers.into_iter().map(|(call, answer)| Record::Answer(call, answer)));
        records.extend(discarded.into_iter().map(Record::Discard));
        for (call, came) in cancelled {
            self.agenda.forget(call.id);
            match call.ask {
                Ask::Step { .. } => drop(self.steps.remove(&call.id)),
                Ask::Send { .. } => drop(self.sends.remove(&call.id)),
                Ask::Receive { name } => self.letters.signals.cancel(&name, call.id, came),
                Ask::ReceiveUpdate { name } => self.letters.updates.cancel(&name, call.id, came),
                Ask::Child { .. } => {
                    self.letters.forget_child(call.id);
                    // A child that has ended is not waited for; what it left goes.
                    records.push(match came.and_then(|came| came.inbox()) {
                        Some(letter) => Record::Discard(letter),
                        None => Record::ReleaseChild(call.id),
                    });
                }
                Ask::Sleep { .. } => {}
            }
        }
        Ok(self.writer.append(records).await?)
    }

    /// The tags that the run has from now on.
    fn retag(&mut self) -> Record {
        let tags = self.guest().run().tags().clone();
        let before = mem::replace(&mut self.claimed.tags, tags.clone());
        self.writer.replaced(before.stored_bytes());
        Record::Tags(tags)
    }

    /// Tell the guest when it next computes.
    pub(super) fn deliver(&mut self, delivery: Delivery) {
        self.guest().run().deliver(delivery);
    }
}
