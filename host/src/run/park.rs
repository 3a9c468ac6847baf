//! Letting go of a run that waits.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Runner;
use super::activate::{Activation, Interruption};
use super::agenda::Due;
use crate::model::{Call, Payload, Timestamp};
use crate::store::{Claimed, Lost, Park, Record, RunWriter, Verdict};

/// One of the calls that a parked run waits for, for people.
#[derive(Default, Serialize)]
struct OpenCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<u32>,
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    asked_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt_limit: Option<u32>,
}

/// How long a run waits for room before it looks again.
const ROOM_AFTER: Duration = Duration::from_secs(5);

/// How many of them are kept for people.
const SHOWN_MAX: usize = 100;

impl Activation {
    /// Park the run, with all that was written about it before. Its guest stays in memory if there is room.
    pub(super) async fn park(&mut self) -> Result<Verdict, Interruption> {
        let wake_at = self.agenda.next();
        let (signals, updates) = (self.letters.signals.names(), self.letters.updates.names());
        let park = Park { wake_at, signals, updates, strikes: 0, open_calls: self.open_calls() };
        let verdict = self.writer.commit(vec![Record::Park(park)]).await?;
        if verdict == Verdict::Done {
            if let Some(guest) = self.guest.take() {
                self.runner.residents.put(self.info.run_id, guest);
            }
            self.runner.alarm.set(wake_at);
        }
        Ok(verdict)
    }

    fn open_calls(&mut self) -> Payload {
        let calls: Vec<Call> = self.guest().run().replay.open_from(0).take(SHOWN_MAX).cloned().collect();
        let shown = calls.iter().map(|call| OpenCall {
            call: Some(call.id),
            kind: call.ask.kind(),
            name: call.ask.name(),
            asked_at: call.asked_at,
            due_at: call.due().or(self.agenda.at(Due::Retry(call.id))),
            next_attempt: self.steps.get(&call.id).map(|step| step.attempt),
            attempt_limit: self.steps.get(&call.id).map(|step| step.retry.max_attempts),
        });
        Payload::of(&shown.collect::<Vec<_>>())
    }
}

impl Runner {
    /// A run that failed through no result of its own is tried again in a while, here or elsewhere.
    pub(super) async fn back_off(self: &Arc<Self>, writer: &RunWriter, claimed: Claimed) {
        let wait = Duration::from_secs(1 << claimed.strikes.min(6));
        self.set_aside(writer, claimed, wait, Payload::of(&[(); 0])).await;
    }

    /// A run whose namespace keeps as much as it may is looked at again in a while. What it had under way is made again then.
    pub(super) async fn wait_for_room(self: &Arc<Self>, writer: &RunWriter, claimed: Claimed) {
        let asked_at = self.clock.now();
        let waits_for = OpenCall { kind: "room", name: "storage_bytes", asked_at, ..OpenCall::default() };
        self.set_aside(writer, claimed, ROOM_AFTER, Payload::of(&[waits_for])).await;
    }

    /// A run that is paused is let go of. One that was resumed meanwhile is ready at once. `letter`: the one that said so.
    pub(super) async fn pause(self: &Arc<Self>, writer: &RunWriter, claimed: Claimed, letter: Option<i64>) {
        let told = letter.map(Record::Discard).into_iter().collect();
        if writer.append(told).await.is_ok() {
            self.set_aside(writer, claimed, Duration::ZERO, Payload::of(&[(); 0])).await;
        }
    }

    async fn set_aside(self: &Arc<Self>, writer: &RunWriter, claimed: Claimed, wait: Duration, open_calls: Payload) {
        let wake_at = Some(self.clock.now().after(wait));
        let park = Park { wake_at, signals: Vec::new(), updates: Vec::new(), strikes: claimed.strikes, open_calls };
        match writer.commit(vec![Record::Park(park)]).await {
            Ok(Verdict::Done) => self.alarm.set(wake_at),
            // A request to stop keeps it from being parked: this host keeps it over the wait.
            Ok(Verdict::Mail) => self.activate_after(wait, claimed),
            Err(Lost) => tracing::debug!(run.id = %claimed.info.run_id, "{Lost}"),
        }
    }
}
