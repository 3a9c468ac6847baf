//! Deals with the ticks of schedules, those of all namespaces: whichever host is first, and only that one.
//!
//! When the next tick is, follows from the one before it, and all hosts come to the same; what becomes of a tick is decided by the
//! database, in the commit that moves its schedule on. So nothing is kept here, and a host that dies leaves nothing behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Host;
use crate::model::{Name, Namespace, ScheduleSpec, Timestamp, due_at, run_of_tick};
use crate::store::{self, Dealt, DueTick, DueTicks, Hint, TickOutcome};

/// Most schedules that are looked at together.
const BATCH_MAX: u32 = 200;

/// Most ticks of one schedule that are dealt with at a time: after a time without any host there may be thousands.
const TICKS_MAX: u32 = 16;

/// Most ticks of one namespace, before the others have had their turn.
const SHARE: u32 = 64;

/// Most ticks that are counted as missed at a time.
const MISSED_MAX: u32 = 1_000;

/// How often it looks when it knows of nothing: whoever changes a schedule says so, but nothing depends on that.
const POLL: Duration = Duration::from_secs(2);

/// Several hosts know when a tick is due. Whoever comes first deals with it; the others need not ask at the same moment.
const SPREAD: Duration = Duration::from_millis(20);

/// When what was found could not be dealt with, or others were always faster.
const IN_VAIN: Duration = Duration::from_millis(50);

pub(super) async fn run(host: Arc<Host>) {
    let mut in_vain = 0_u32;
    // Each round looks at some of those that wait for the end of runs, and the next one at those after them.
    let mut queued_after = None;
    loop {
        let wait = match round(&host, &mut queued_after).await {
            Ok(Round { dealt: 0, found: 0, next_in }) => {
                in_vain = 0;
                let spread = SPREAD.mul_f64(rand::random());
                next_in.map_or(POLL, |next_in| next_in + spread).min(POLL)
            }
            Ok(Round { dealt: 0, .. }) => {
                in_vain += 1;
                (IN_VAIN * in_vain).min(POLL)
            }
            Ok(_) => {
                in_vain = 0;
                Duration::ZERO
            }
            Err(error) => {
                tracing::warn!(%error, "schedules were not looked at; it is tried again");
                POLL
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = host.schedules.notified() => {}
        }
    }
}

/// What came of looking once at all that is due.
struct Round {
    /// Ticks that this host has dealt with.
    dealt: u32,
    /// Ticks that were due.
    found: usize,
    next_in: Option<Duration>,
}

async fn round(host: &Host, queued_after: &mut Option<(String, String)>) -> store::Result<Round> {
    let mut round = Round { dealt: 0, found: 0, next_in: None };
    let mut spent: HashMap<Namespace, u32> = HashMap::new();
    // Those that have had their share; the next round begins with them again.
    let mut without = Vec::new();
    loop {
        let look = host.store.due_ticks(BATCH_MAX, &without, queued_after.as_ref()).await?;
        queued_after.clone_from(&look.queued_after);
        round.found += look.found;
        round.next_in = look.next_in;
        let before = without.len();
        for due in &look.due {
            let spent = spent.entry(due.namespace.clone()).or_default();
            if *spent >= SHARE {
                continue;
            }
            *spent += deal_with(host, &look, due).await;
            if *spent >= SHARE {
                without.push(due.namespace.clone());
            }
        }
        if without.len() == before || look.found < BATCH_MAX as usize {
            round.dealt = spent.values().sum();
            if round.dealt > 0 {
                host.became_ready();
            }
            return Ok(round);
        }
    }
}

/// Deal with a schedule's ticks that are due. Returns with how many. What goes wrong with one is nothing to the others.
async fn deal_with(host: &Host, look: &DueTicks, due: &DueTick) -> u32 {
    let mut tick = due.clone();
    let mut dealt = 0;
    while dealt < TICKS_MAX && tick.due_at <= look.looked_at {
        let next = match one(host, look.looked_at, &tick).await {
            Ok(Some(next)) => next,
            Ok(None) => return dealt,
            Err(error) => {
                let (namespace, schedule) = (&due.namespace, &due.schedule);
                tracing::warn!(%namespace, %schedule, %error, "a tick could not be dealt with; it is tried again");
                return dealt;
            }
        };
        dealt += 1;
        let Some((next, due_at)) = next else { return dealt };
        (tick.tick, tick.due_at) = (next, due_at);
    }
    dealt
}

/// The tick after one, and when it is due.
type Next = Option<(Timestamp, Timestamp)>;

/// Deal with one tick. Returns the next of its schedule; `None`: somebody else was first.
async fn one(host: &Host, now: Timestamp, due: &DueTick) -> store::Result<Option<Next>> {
    if !due.is_queued && now.since(due.due_at) > due.catch_up {
        return missed(host, now, due).await;
    }
    let tenant = host.tenant(&due.namespace).await?;
    let refusal = tenant.account.is_full().then_some("storage-full");
    let next = if due.is_queued { None } else { after(&due.spec, due, due.tick) };
    let run = run_of_tick(&due.namespace, &due.schedule, due.tick);
    let Some(Dealt { outcome, bytes, cancelled }) = host.store.deal_with(due, next, &run, refusal).await? else {
        return Ok(None);
    };
    match outcome {
        Some(TickOutcome::Started) => tenant.account.add_row(bytes),
        Some(TickOutcome::Failed) => {
            tracing::warn!(namespace = %due.namespace, schedule = %due.schedule, tick = %due.tick, "a tick could start nothing");
        }
        _ => {}
    }
    for run_id in cancelled {
        host.tell(run_id);
        host.notifier.send(Hint::Mail(run_id));
    }
    Ok(Some(next))
}

/// Count as missed what is too late by now.
async fn missed(host: &Host, now: Timestamp, due: &DueTick) -> store::Result<Option<Next>> {
    let mut count = 0;
    let mut next = Some((due.tick, due.due_at));
    while let Some((tick, due_at)) = next
        && count < MISSED_MAX
        && now.since(due_at) > due.catch_up
    {
        count += 1;
        next = after(&due.spec, due, tick);
    }
    Ok(host.store.miss_ticks(due, next, count).await?.then_some(next))
}

fn after(spec: &ScheduleSpec, due: &DueTick, tick: Timestamp) -> Next {
    next_of((&due.namespace, &due.schedule), spec, due.jitter, tick)
}

/// The first tick of a schedule after a time, and when it is due.
pub(super) fn next_of(
    (namespace, schedule): (&Namespace, &Name),
    spec: &ScheduleSpec,
    jitter: Duration,
    after: Timestamp,
) -> Next {
    let tick = spec.next_after(after)?;
    Some((tick, due_at(namespace, schedule, tick, jitter)))
}
