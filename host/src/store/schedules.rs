//! Schedules: what operators do with them, and what becomes of their ticks. Which run goes where is in `schedule.rs`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::batch::int;
use super::schedule::durability;
use super::seals::sealed_among;
use super::start::tags_column;
use super::{Error, Result, Store};
use crate::model::{
    Durability, Name, Namespace, Overlap, Payload, Priority, RunId, Schedule, ScheduleSpec, Seed, Tags, Timestamp, Who,
    duration_from_us, duration_us,
};

/// A schedule, and where it stands.
#[derive(Clone, Debug)]
pub struct ScheduleSummary {
    /// Its name.
    pub name: Name,
    /// What it is to do.
    pub schedule: Schedule,
    /// When it ticks, exactly as it is kept.
    pub spec_text: String,
    /// The next tick that nothing has become of; none: there is none any more.
    pub next_tick: Option<Timestamp>,
    /// When that tick is due.
    pub due_at: Option<Timestamp>,
    /// A tick that waits for the end of the runs that are open.
    pub queued_tick: Option<Timestamp>,
    /// Since when it has been paused.
    pub paused_at: Option<Timestamp>,
    /// How many ticks have come to what.
    pub counts: TickCounts,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The database's time when this was read.
    pub read_at: Timestamp,
}

/// How many ticks have come to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickCounts {
    /// They started a run.
    pub started: u64,
    /// They started nothing, because a run was open.
    pub skipped: u64,
    /// They were too late when a host came to deal with them.
    pub missed: u64,
    /// They could start nothing.
    pub failed: u64,
}

/// What became of a tick.
#[derive(Clone, Debug)]
pub struct TickNote {
    /// Which; of several, the first.
    pub tick: Timestamp,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Of how many.
    pub count: u32,
    /// The run that it started.
    pub run_id: Option<RunId>,
    /// The code of the reason why it failed.
    pub reason: Option<String>,
    /// When it came to that.
    pub noted_at: Timestamp,
}

/// What became of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TickOutcome {
    /// It started its run.
    Started,
    /// It started nothing, because a run was open.
    Skipped,
    /// It was too late.
    Missed,
    /// It could start nothing.
    Failed,
    /// Somebody has asked for a run.
    Triggered,
    /// Somebody has asked for the runs of a range of ticks.
    Backfilled,
}

impl TickOutcome {
    /// The place of each is its code.
    const ALL: [Self; 6] =
        [Self::Started, Self::Skipped, Self::Missed, Self::Failed, Self::Triggered, Self::Backfilled];

    /// As it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Failed => "failed",
            Self::Triggered => "triggered",
            Self::Backfilled => "backfilled",
        }
    }
}

/// What came of keeping a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutSchedule {
    /// It is kept. With the bytes that are kept more than before.
    Kept {
        /// There was none of this name.
        is_new: bool,
        /// By how much more the namespace keeps.
        bytes: i64,
    },
    /// The namespace has as many as it may.
    TooMany,
    /// No component of the namespace has the workflow.
    NoSuchWorkflow,
    /// It would never tick.
    Never,
}

/// What came of asking for runs of a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunsOfTicks {
    /// They are there.
    Started {
        /// So many are new.
        count: u32,
        /// Bytes that are kept more than before.
        bytes: i64,
    },
    /// None was started: the code of the reason.
    Failed(String),
    /// There is no such schedule, or it is not by that spec any more.
    NoSuchSchedule,
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    schedule: String,
    workflow: String,
    input: Vec<u8>,
    durability: i16,
    timeout_us: Option<i64>,
    tags: Option<Vec<String>>,
    priority: i16,
    concurrency_key: Option<String>,
    spec: String,
    overlap: i16,
    jitter_us: i64,
    catch_up_us: i64,
    next_tick: Option<DateTime<Utc>>,
    due_at: Option<DateTime<Utc>>,
    queued_tick: Option<DateTime<Utc>>,
    paused_at: Option<DateTime<Utc>>,
    started: i64,
    skipped: i64,
    missed: i64,
    failed: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    read_at: DateTime<Utc>,
}

type NoteRow = (DateTime<Utc>, i16, i32, Option<Uuid>, Option<String>, DateTime<Utc>);

impl Store {
    /// A schedule of a namespace; `None` if there is no such.
    pub async fn get_schedule(&self, namespace: &Namespace, name: &Name) -> Result<Option<ScheduleSummary>> {
        let mut row: Option<SummaryRow> = sqlx::query_as(
            "SELECT s.*, clock_timestamp() AS read_at FROM schedules s WHERE s.namespace = $1 AND s.schedule = $2",
        )
        .bind(&**namespace)
        .bind(&**name)
        .fetch_optional(&mut *self.tenant(namespace).await?)
        .await?;
        self.open(namespace, sealed_among(row.iter_mut().map(|row| &mut row.input))).await?;
        row.map(TryInto::try_into).transpose()
    }

    /// Schedules of a namespace by name, after the one called `after`, at most `limit`.
    pub async fn list_schedules(&self, namespace: &Namespace, after: &str, limit: u32) -> Result<Vec<ScheduleSummary>> {
        let mut rows: Vec<SummaryRow> = sqlx::query_as(
            "SELECT s.*, clock_timestamp() AS read_at FROM schedules s WHERE s.namespace = $1 AND s.schedule > $2 \
             ORDER BY s.schedule LIMIT $3",
        )
        .bind(&**namespace)
        .bind(after)
        .bind(int(limit))
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        self.open(namespace, sealed_among(rows.iter_mut().map(|row| &mut row.input))).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// What became of the last ticks of a schedule, the newest first.
    pub async fn ticks(&self, namespace: &Namespace, name: &Name, limit: u32) -> Result<Vec<TickNote>> {
        let rows: Vec<NoteRow> = sqlx::query_as(
            "SELECT t.tick, t.outcome, t.count, t.run_id, t.reason, t.noted_at FROM schedule_ticks t \
             WHERE t.namespace = $1 AND t.schedule = $2 ORDER BY t.id DESC LIMIT $3",
        )
        .bind(&**namespace)
        .bind(&**name)
        .bind(int(limit))
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        rows.into_iter().map(note).collect()
    }

    /// Keep a schedule, in place of one of this name if there is one, unless the namespace has `most`. `next`: its first tick, and when
    /// that is due.
    pub async fn put_schedule(
        &self,
        (namespace, name): (&Namespace, &Name),
        schedule: &Schedule,
        next: Option<(Timestamp, Timestamp)>,
        most: u32,
        who: &Who,
    ) -> Result<PutSchedule> {
        let input = self.sealed(namespace, &schedule.input).await?;
        let overlap = Overlap::ALL.iter().position(|overlap| *overlap == schedule.overlap).unwrap_or_default();
        let put = sqlx::query_as(
            "SELECT outcome, bytes FROM put_schedule($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        );
        let put = put.bind(&**namespace).bind(&**name).bind(&*schedule.workflow).bind(input);
        let put = put.bind(i16::from(schedule.durability == Durability::Strict)).bind(schedule.timeout.map(micros));
        let put = put.bind(text(&schedule.spec)?).bind(i16::try_from(overlap).unwrap_or_default());
        let put = put.bind(micros(schedule.jitter)).bind(micros(schedule.catch_up));
        let put = put.bind(next.map(|(tick, _)| date(tick))).bind(next.map(|(_, due_at)| date(due_at)));
        let put = put.bind(int(most)).bind(who.to_string()).bind(tags_column(&schedule.tags));
        let put = put.bind(schedule.priority.code()).bind(&schedule.concurrency_key);
        let (outcome, bytes): (i16, i64) = put.fetch_one(&mut *self.tenant(namespace).await?).await?;
        Ok(match outcome {
            0 | 1 => PutSchedule::Kept { is_new: outcome == 0, bytes },
            2 => PutSchedule::TooMany,
            3 => PutSchedule::NoSuchWorkflow,
            _ => PutSchedule::Never,
        })
    }

    /// Forget a schedule. Its runs go on. Returns the bytes that are not kept any more; `None`: there is no such schedule.
    pub async fn delete_schedule(&self, namespace: &Namespace, name: &Name, who: &Who) -> Result<Option<i64>> {
        let deleted = sqlx::query_scalar("SELECT delete_schedule($1, $2, $3)");
        let deleted = deleted.bind(&**namespace).bind(&**name).bind(who.to_string());
        Ok(deleted.fetch_one(&mut *self.tenant(namespace).await?).await?)
    }

    /// Pause a schedule. Returns whether there is such.
    pub async fn pause_schedule(&self, namespace: &Namespace, name: &Name, who: &Who) -> Result<bool> {
        let paused = sqlx::query_scalar("SELECT pause_schedule($1, $2, $3)");
        let paused = paused.bind(&**namespace).bind(&**name).bind(who.to_string());
        Ok(paused.fetch_one(&mut *self.tenant(namespace).await?).await?)
    }

    /// Let a schedule go on with a tick that is due then. Returns whether there is such with this spec.
    pub async fn resume_schedule(
        &self,
        (namespace, name): (&Namespace, &Name),
        spec: &str,
        next: Option<(Timestamp, Timestamp)>,
        who: &Who,
    ) -> Result<bool> {
        let resumed = sqlx::query_scalar("SELECT resume_schedule($1, $2, $3, $4, $5, $6)");
        let resumed = resumed.bind(&**namespace).bind(&**name).bind(spec);
        let resumed = resumed.bind(next.map(|(tick, _)| date(tick))).bind(next.map(|(_, due_at)| date(due_at)));
        Ok(resumed.bind(who.to_string()).fetch_one(&mut *self.tenant(namespace).await?).await?)
    }

    /// Start a run of a schedule for a tick of its own.
    pub async fn trigger_schedule(
        &self,
        (namespace, name): (&Namespace, &Name),
        tick: Timestamp,
        (key, run_id): &(String, RunId),
        who: &Who,
    ) -> Result<RunsOfTicks> {
        let triggered = sqlx::query_as("SELECT failure, bytes FROM trigger_schedule($1, $2, $3, $4, $5, $6, $7)");
        let triggered = triggered.bind(&**namespace).bind(&**name).bind(date(tick)).bind(run_id.0);
        let triggered = triggered.bind(Seed::new().0).bind(key).bind(who.to_string());
        let row: Option<(Option<String>, i32)> = triggered.fetch_optional(&self.pool).await?;
        Ok(match row {
            None => RunsOfTicks::NoSuchSchedule,
            Some((Some(failure), _)) => RunsOfTicks::Failed(failure),
            Some((None, bytes)) => RunsOfTicks::Started { count: 1, bytes: i64::from(bytes) + 100 },
        })
    }

    /// Start the runs of these ticks of a schedule, those that are not there yet.
    pub async fn backfill_schedule(
        &self,
        (namespace, name): (&Namespace, &Name),
        spec: &str,
        ticks: &[(Timestamp, (String, RunId))],
        who: &Who,
    ) -> Result<RunsOfTicks> {
        let times: Vec<_> = ticks.iter().map(|(tick, _)| date(*tick)).collect();
        let (keys, run_ids): (Vec<_>, Vec<_>) = ticks.iter().map(|(_, (key, run_id))| (&**key, run_id.0)).unzip();
        let seeds: Vec<_> = ticks.iter().map(|_| Seed::new().0.to_vec()).collect();
        let filled =
            sqlx::query_as("SELECT failure, started, bytes FROM backfill_schedule($1, $2, $3, $4, $5, $6, $7, $8)");
        let filled = filled.bind(&**namespace).bind(&**name).bind(spec).bind(times).bind(run_ids);
        let filled = filled.bind(seeds).bind(keys).bind(who.to_string());
        let row: Option<(Option<String>, Option<i32>, Option<i64>)> = filled.fetch_optional(&self.pool).await?;
        Ok(match row {
            None => RunsOfTicks::NoSuchSchedule,
            Some((Some(failure), ..)) => RunsOfTicks::Failed(failure),
            Some((None, count, bytes)) => RunsOfTicks::Started {
                count: count.unwrap_or_default().unsigned_abs(),
                bytes: bytes.unwrap_or_default(),
            },
        })
    }
}

impl TryFrom<SummaryRow> for ScheduleSummary {
    type Error = Error;

    fn try_from(row: SummaryRow) -> Result<Self> {
        let overlap = usize::try_from(row.overlap).ok().and_then(|code| Overlap::ALL.get(code));
        let schedule = Schedule {
            workflow: named(&row.workflow)?,
            input: Payload::stored(row.input),
            durability: durability(row.durability),
            timeout: row.timeout_us.map(duration),
            tags: Tags::stored(row.tags.unwrap_or_default()),
            priority: Priority::stored(row.priority),
            concurrency_key: row.concurrency_key,
            spec: spec(&row.spec)?,
            overlap: *overlap.ok_or_else(|| corrupt("an overlap policy of another version".into()))?,
            jitter: duration(row.jitter_us),
            catch_up: duration(row.catch_up_us),
        };
        Ok(Self {
            name: named(&row.schedule)?,
            schedule,
            spec_text: row.spec,
            next_tick: row.next_tick.map(Into::into),
            due_at: row.due_at.map(Into::into),
            queued_tick: row.queued_tick.map(Into::into),
            paused_at: row.paused_at.map(Into::into),
            counts: TickCounts {
                started: row.started.unsigned_abs(),
                skipped: row.skipped.unsigned_abs(),
                missed: row.missed.unsigned_abs(),
                failed: row.failed.unsigned_abs(),
            },
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            read_at: row.read_at.into(),
        })
    }
}

fn note((tick, code, count, run_id, reason, noted_at): NoteRow) -> Result<TickNote> {
    let outcome = outcome(code).ok_or_else(|| corrupt("what became of a tick".into()))?;
    let (count, run_id) = (count.unsigned_abs(), run_id.map(RunId));
    Ok(TickNote { tick: tick.into(), outcome, count, run_id, reason, noted_at: noted_at.into() })
}

pub(super) fn outcome(code: i16) -> Option<TickOutcome> {
    usize::try_from(code).ok().and_then(|code| TickOutcome::ALL.get(code)).copied()
}

pub(super) fn date(time: Timestamp) -> DateTime<Utc> {
    time.into()
}

fn text(spec: &ScheduleSpec) -> Result<String> {
    serde_json::to_string(spec).map_err(|error| corrupt(error.into()))
}

pub(super) fn spec(text: &str) -> Result<ScheduleSpec> {
    serde_json::from_str(text).map_err(|error| corrupt(error.into()))
}

pub(super) fn duration(micros: i64) -> Duration {
    duration_from_us(micros.unsigned_abs()).unwrap_or(Duration::MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration_us(duration)).unwrap_or(i64::MAX)
}

pub(super) fn named(name: &str) -> Result<Name> {
    Name::new(name).map_err(|error| corrupt(error.into()))
}

pub(super) fn corrupt(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Internal(sqlx::Error::Decode(error))
}
