//! Whose turn it is: attempts of steps with a rate limit.
//!
//! Each has its time from the database before it begins. One that is later is waited for like a retry: in nobody's way, and parked if it takes
//! long. The time is written down then, so that whoever takes the run up keeps it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::activate::{Activation, Interruption};
use super::agenda::Due;
use crate::model::{CallId, Name, Namespace, Timestamp};
use crate::store::{self, Attempt, Record, Store, Turns};

/// How late an attempt may be for its turn; then it asks for another. What hosts were late with while they were away would else begin
/// all at once.
const LATE_MAX: Duration = Duration::from_secs(1);

/// What came of asking.
type Answer = Result<Option<Turns>, Arc<store::Error>>;

/// Asks the database for turns: for each step once at a time, and then for all who have come meanwhile.
pub(super) struct TurnDesk {
    store: Store,
    asking: Mutex<HashMap<(Namespace, Name), Vec<Asker>>>,
}

/// Somebody who wants so many turns.
struct Asker {
    count: u32,
    answer: oneshot::Sender<Answer>,
}

impl TurnDesk {
    pub(super) fn new(store: Store) -> Self {
        Self { store, asking: Mutex::default() }
    }

    /// Turns for so many attempts. `None`: the step has no limit. Whoever goes away meanwhile has lost theirs.
    async fn turns(
        self: &Arc<Self>,
        namespace: &Namespace,
        step: &Name,
        count: u32,
    ) -> Result<Option<Turns>, Interruption> {
        let (answer, answered) = oneshot::channel();
        let key = (namespace.clone(), step.clone());
        let is_first = {
            let mut asking = self.lock();
            let is_first = !asking.contains_key(&key);
            asking.entry(key.clone()).or_default().push(Asker { count, answer });
            is_first
        };
        if is_first {
            // A task of its own: others wait for it, and whoever was first may go away.
            tokio::spawn(self.clone().ask(key));
        }
        match answered.await {
            Ok(answer) => answer.map_err(|error| Interruption::Host(error.to_string())),
            Err(_) => Err(Interruption::Host("the host panicked over a turn".to_owned())),
        }
    }

    async fn ask(self: Arc<Self>, key: (Namespace, Name)) {
        while let Some(askers) = self.take(&key) {
            let count = askers.iter().fold(0, |sum: u32, asker| sum.saturating_add(asker.count));
            match self.store.reserve_attempts(&key.0, &key.1, count).await {
                Ok(turns) => share(askers, turns),
                Err(error) => {
                    let error = Arc::new(error);
                    askers.into_iter().for_each(|asker| reply(asker, Err(error.clone())));
                }
            }
        }
    }

    /// Those who wait for an answer; `None`: nobody, and the next one who comes is the first.
    fn take(&self, key: &(Namespace, Name)) -> Option<Vec<Asker>> {
        let mut asking = self.lock();
        let askers = asking.get_mut(key).map(std::mem::take).filter(|askers| !askers.is_empty());
        if askers.is_none() {
            asking.remove(key);
        }
        askers
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Namespace, Name), Vec<Asker>>> {
        // Nothing under the lock can panic half way.
        self.asking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first who asked has the first turns.
fn share(askers: Vec<Asker>, turns: Option<Turns>) {
    let mut taken = 0;
    for asker in askers {
        let own = turns.map(|turns| Turns { first: turns.at(taken), ..turns });
        taken += asker.count;
        reply(asker, Ok(own));
    }
}

fn reply(asker: Asker, answer: Answer) {
    // Whoever asked may have gone away.
    let _ = asker.answer.send(answer);
}

impl Activation {
    /// Of the calls of steps whose attempts are to begin, those whose attempts begin now. The others have a time, and wait for it.
    pub(super) async fn whose_turn_it_is(&mut self, calls: Vec<CallId>) -> Result<Vec<CallId>, Interruption> {
        if calls.is_empty() {
            return Ok(calls);
        }
        let namespace = self.info.namespace.clone();
        let tenant = self.runner.namespaces.get(&namespace).await;
        let limited = tenant.map_err(|error| Interruption::Host(error.to_string()))?.limited_steps;
        let (mut now_on, mut asking) = (Vec::new(), BTreeMap::<Name, Vec<CallId>>::new());
        for call in calls {
            let Some(step) = self.steps.get_mut(&call) else { continue };
            let has_turn = step.turn.take().is_some_and(|turn| self.runner.clock.now().since(turn) <= LATE_MAX);
            if has_turn || !limited.contains(&*step.name) {
                now_on.push(call);
            } else {
                asking.entry(step.name.clone()).or_default().push(call);
            }
        }
        for (step, calls) in asking {
            let count = u32::try_from(calls.len()).unwrap_or(u32::MAX);
            let Some(turns) = self.runner.turns.turns(&namespace, &step, count).await? else {
                now_on.extend(calls);
                continue;
            };
            let mut records = Vec::new();
            for (number, call) in (0..).zip(calls) {
                let turn = turns.at(number);
                if turn <= self.runner.clock.now() {
                    now_on.push(call);
                } else {
                    records.extend(self.wait_for_turn(call, turn));
                }
            }
            self.writer.append(records).await?;
        }
        Ok(now_on)
    }

    /// The next attempt of a step begins then. If that is so far off that the run may be parked, it is written down.
    fn wait_for_turn(&mut self, call: CallId, turn: Timestamp) -> Option<Record> {
        let now = self.runner.clock.now();
        let step = self.steps.get_mut(&call)?;
        step.turn = Some(turn);
        self.agenda.set(turn, Due::Retry(call));
        (turn.since(now) > self.runner.config.park_after).then(|| {
            Record::Attempt(Attempt {
                call,
                attempt: step.attempt,
                step: Some(step.name.clone()),
                attempt_limit: Some(step.retry.max_attempts),
                failure: None,
                heartbeat: step.heartbeat.clone(),
                started_at: now,
                ended_at: None,
                next_at: Some(turn),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_asks_together_has_one_turn_after_the_other() {
        let turns = Turns { first: Timestamp::from_micros(1_000), spacing: Duration::from_micros(10) };
        let (askers, answers): (Vec<_>, Vec<_>) = [2, 1, 3]
            .map(|count| {
                let (answer, answered) = oneshot::channel();
                (Asker { count, answer }, answered)
            })
            .into_iter()
            .unzip();
        share(askers, Some(turns));
        let mut firsts = Vec::new();
        for answered in answers {
            firsts.push(answered.await.unwrap().unwrap().unwrap().first.as_micros());
        }
        assert_eq!(firsts, [1_000, 1_020, 1_030]);
    }
}
