//! What hosts do about the ticks of schedules, of all namespaces at once: see `migrations/0028_schedules.sql`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::batch::int;
use super::schedules::{TickOutcome, corrupt, date, duration, named, outcome, spec};
use super::{Result, Store};
use crate::model::{Name, Namespace, RunId, ScheduleSpec, Seed, Timestamp};

/// A tick that somebody has to deal with.
#[derive(Clone, Debug)]
pub struct DueTick {
    /// Whose.
    pub namespace: Namespace,
    /// Of which schedule.
    pub schedule: Name,
    /// When that ticks.
    pub spec: ScheduleSpec,
    /// The same, exactly as it is kept: it may have been changed since.
    pub spec_text: String,
    /// By how much its ticks may be late.
    pub jitter: Duration,
    /// How late they may be dealt with.
    pub catch_up: Duration,
    /// The tick.
    pub tick: Timestamp,
    /// When it is due.
    pub due_at: Timestamp,
    /// It has waited for the end of runs.
    pub is_queued: bool,
}

/// What [`Store::due_ticks`] has found.
#[derive(Clone, Debug)]
pub struct DueTicks {
    /// Those that are due.
    pub due: Vec<DueTick>,
    /// How many there were; of some, what they say may not be readable here.
    pub found: usize,
    /// Until the next is.
    pub next_in: Option<Duration>,
    /// Of those that wait for the end of runs, the last that was looked at, if there may be others after it.
    pub queued_after: Option<(String, String)>,
    /// The database's time when it looked.
    pub looked_at: Timestamp,
}

/// What became of a tick, when this host has dealt with it.
#[derive(Clone, Debug)]
pub struct Dealt {
    /// What it came to; `None`: it waits.
    pub outcome: Option<TickOutcome>,
    /// Bytes of the input of the run that it started.
    pub bytes: usize,
    /// Runs that were asked to stop.
    pub cancelled: Vec<RunId>,
}

/// The code of a tick that waits.
const QUEUED: i16 = 6;

#[derive(sqlx::FromRow)]
struct DueRow {
    namespace: String,
    schedule: String,
    spec: String,
    jitter_us: i64,
    catch_up_us: i64,
    tick: DateTime<Utc>,
    due_at: DateTime<Utc>,
    is_queued: bool,
    looked_at: DateTime<Utc>,
}

impl Store {
    /// Up to `limit` ticks that are due, the oldest first, of none of these namespaces; and those, of as many that wait for the end of
    /// runs, after this one, for which it has come.
    pub async fn due_ticks(
        &self,
        limit: u32,
        without: &[Namespace],
        queued_after: Option<&(String, String)>,
    ) -> Result<DueTicks> {
        let without: Vec<_> = without.iter().map(|namespace| namespace.to_string()).collect();
        let (namespace, schedule) = queued_after.map_or(("", ""), |(namespace, schedule)| (namespace, schedule));
        let rows: Vec<DueRow> = sqlx::query_as("SELECT * FROM due_schedules($1, $2, $3, $4)")
            .bind(int(limit))
            .bind(without)
            .bind(namespace)
            .bind(schedule)
            .fetch_all(&self.pool)
            .await?;
        let queued = rows.iter().filter(|row| row.is_queued);
        // There were none after it: those before it have their turn again.
        let next_in = (queued_after.is_some() && queued.clone().next().is_none()).then_some(Duration::ZERO);
        let last = queued.clone().next_back().map(|row| (row.namespace.clone(), row.schedule.clone()));
        let queued_after = last.filter(|_| queued.count() == limit as usize);
        let looked_at = rows.first().map(|row| row.looked_at.into()).unwrap_or_default();
        let mut ticks = DueTicks { due: Vec::new(), found: 0, next_in, queued_after, looked_at };
        for row in rows {
            if row.due_at > row.looked_at {
                let next_in = Timestamp::from(row.due_at).since(ticks.looked_at);
                ticks.next_in = Some(ticks.next_in.unwrap_or(Duration::MAX).min(next_in));
                continue;
            }
            ticks.found += 1;
            let (namespace, schedule) = (row.namespace.clone(), row.schedule.clone());
            match row.try_into() {
                Ok(tick) => ticks.due.push(tick),
                // Hosts of that version deal with it.
                Err(error) => {
                    tracing::error!(namespace, schedule, %error, "a schedule is of another version than this host")
                }
            }
        }
        Ok(ticks)
    }

    /// Deal with a tick; `next` is the one after it, and when that is due. `refusal`: the code of a reason why it cannot start a run.
    /// `None`: somebody else has dealt with it.
    pub async fn deal_with(
        &self,
        due: &DueTick,
        next: Option<(Timestamp, Timestamp)>,
        (key, run_id): &(String, RunId),
        refusal: Option<&str>,
    ) -> Result<Option<Dealt>> {
        let dealt = if due.is_queued {
            sqlx::query_as("SELECT outcome, bytes, NULL::uuid[] FROM fire_queued($1, $2, $3, $4, $5, $6, $7)")
                .bind(&*due.namespace)
                .bind(&*due.schedule)
                .bind(date(due.tick))
        } else {
            sqlx::query_as(
                "SELECT outcome, bytes, cancelled FROM fire_schedule($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(&*due.namespace)
            .bind(&*due.schedule)
            .bind(&due.spec_text)
            .bind(date(due.tick))
            .bind(next.map(|(tick, _)| date(tick)))
            .bind(next.map(|(_, due_at)| date(due_at)))
        };
        let dealt = dealt.bind(run_id.0).bind(Seed::new().0).bind(key).bind(refusal);
        let (code, bytes, cancelled): (Option<i16>, Option<i32>, Option<Vec<Uuid>>) =
            dealt.fetch_one(&self.pool).await?;
        let Some(code) = code else { return Ok(None) };
        let outcome = if code == QUEUED {
            None
        } else {
            Some(outcome(code).ok_or_else(|| corrupt("what became of a tick".into()))?)
        };
        let bytes = usize::try_from(bytes.unwrap_or_default()).unwrap_or_default();
        let cancelled = cancelled.unwrap_or_default().into_iter().map(RunId).collect();
        Ok(Some(Dealt { outcome, bytes, cancelled }))
    }

    /// So many ticks, from this one on, are too late; then comes `next`. Returns whether it was this host that noted it.
    pub async fn miss_ticks(&self, due: &DueTick, next: Option<(Timestamp, Timestamp)>, count: u32) -> Result<bool> {
        let missed = sqlx::query_scalar("SELECT miss_ticks($1, $2, $3, $4, $5, $6, $7)");
        let missed = missed.bind(&*due.namespace).bind(&*due.schedule).bind(&due.spec_text).bind(date(due.tick));
        let missed = missed.bind(next.map(|(tick, _)| date(tick))).bind(next.map(|(_, due_at)| date(due_at)));
        Ok(missed.bind(int(count)).fetch_one(&self.pool).await?)
    }
}

impl TryFrom<DueRow> for DueTick {
    type Error = super::Error;

    fn try_from(row: DueRow) -> Result<Self> {
        Ok(Self {
            namespace: Namespace::new(&row.namespace).map_err(|error| corrupt(error.into()))?,
            schedule: named(&row.schedule)?,
            spec: spec(&row.spec)?,
            spec_text: row.spec,
            jitter: duration(row.jitter_us),
            catch_up: duration(row.catch_up_us),
            tick: row.tick.into(),
            due_at: row.due_at.into(),
            is_queued: row.is_queued,
        })
    }
}
