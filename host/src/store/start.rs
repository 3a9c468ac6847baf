//! Accepting runs.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::batch::int;
use super::inbox::InboxMax;
use super::{Claimed, Error, Lease, Result, Store};
use crate::model::{
    Durability, Lineage, Name, Namespace, Origin, Payload, Priority, RunId, RunInfo, Seed, Tags, Timestamp, duration_us,
};

/// A run that somebody asks for.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its id: the one that its idempotency key stands for, or a new one.
    pub run_id: RunId,
    /// Whose.
    pub namespace: Namespace,
    /// Of which workflow.
    pub workflow: Name,
    /// What it is started with.
    pub input: Payload,
    /// When the guest sees an event.
    pub durability: Durability,
    /// The same key means the same run; without one, it is always another.
    pub idempotency_key: Option<String>,
    /// From now until it is asked to stop.
    pub timeout: Option<Duration>,
    /// What it is found by.
    pub tags: Tags,
    /// Before which others it is taken up, and after which.
    pub priority: Priority,
    /// Of the runs of its workflow that have the same, so many may be under way at once.
    pub concurrency_key: Option<String>,
    /// A signal that it gets in the same moment, whether it is new or was there before.
    pub signal: Option<NewSignal>,
}

/// A signal that comes with a start.
#[derive(Clone, Debug)]
pub struct NewSignal {
    /// Its name.
    pub name: Name,
    /// What it carries.
    pub payload: Payload,
    /// The same id is accepted once.
    pub signal_id: Option<String>,
    /// How much may wait in the run's inbox.
    pub inbox: InboxMax,
}

/// What became of it.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "it is nearly always the large one, and is gone at once")]
pub enum Started {
    /// It is accepted, and belongs to the host that was named.
    New(RunInfo),
    /// It is accepted, and not given to the host that was named: it has to have a slot first, or a host that has learnt more.
    Queued(RunId),
    /// The same run was accepted before.
    Before(RunId),
    /// The key belongs to a run of another workflow or with another input.
    Conflict(RunId),
    /// No component of the namespace has this workflow.
    NoSuchWorkflow,
}

#[derive(sqlx::FromRow)]
struct StartedRow {
    outcome: i16,
    component: Option<String>,
    version: Option<i32>,
    started_at: Option<DateTime<Utc>>,
    deadline_at: Option<DateTime<Utc>>,
    is_limited: bool,
}

impl Store {
    /// Accept a run. With a lease, its host owns the run from the first commit on.
    pub async fn start_run(&self, run: &NewRun, lease: Option<&Lease>) -> Result<Started> {
        let run_id = run.run_id;
        let seed = Seed::new();
        loop {
            let input = self.sealed(&run.namespace, &run.input).await?;
            let row = match &run.signal {
                None => self.try_start(run, input, lease, seed).await?,
                Some(signal) => self.try_start_with(run, input, lease, seed, signal).await?,
            };
            match row.outcome {
                0 if row.is_limited => return Ok(Started::Queued(run_id)),
                0 => return Ok(Started::New(row.into_new(run, seed)?)),
                5 => return Ok(Started::Queued(run_id)),
                1 => return Ok(Started::Before(run_id)),
                // What was sealed twice is not alike: only here can it be told what it was.
                2 => match self.get_run(&run.namespace, run_id).await? {
                    Some(before) if before.workflow == *run.workflow && before.input == run.input => {
                        return Ok(Started::Before(run_id));
                    }
                    _ => return Ok(Started::Conflict(run_id)),
                },
                3 => return Ok(Started::NoSuchWorkflow),
                // Another session has just started it: the next look sees it.
                _ => {}
            }
        }
    }

    async fn try_start(&self, run: &NewRun, input: Vec<u8>, lease: Option<&Lease>, seed: Seed) -> Result<StartedRow> {
        let start = sqlx::query_as(
            "SELECT outcome, component, version, started_at, deadline_at, is_limited \
             FROM start_runs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        );
        let start = start.bind(lease.map(|lease| lease.host_id.0)).bind(lease.map(|lease| lease.epoch));
        let start =
            start.bind([&*run.namespace]).bind([run.run_id.0]).bind([&*run.workflow]).bind([run.durability_code()]);
        let start = start.bind([&seed.0[..]]).bind([run.idempotency_key.as_deref()]).bind([input]);
        let tags = Some([tags_column(&run.tags)]).filter(|_| !run.tags.is_empty());
        let start = start.bind([run.timeout_us()]).bind(tags).bind([run.priority.code()]);
        Ok(start.bind([run.concurrency_key.as_deref()]).fetch_one(&self.pool).await?)
    }

    async fn try_start_with(
        &self,
        run: &NewRun,
        input: Vec<u8>,
        lease: Option<&Lease>,
        seed: Seed,
        signal: &NewSignal,
    ) -> Result<StartedRow> {
        let payload = self.sealed(&run.namespace, &signal.payload).await?;
        let start = sqlx::query_as(
            "SELECT outcome, component, version, started_at, deadline_at, is_limited \
             FROM signal_with_start($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        );
        let start = start.bind(lease.map(|lease| lease.host_id.0)).bind(lease.map(|lease| lease.epoch));
        let start = start.bind(&*run.namespace).bind(run.run_id.0).bind(&*run.workflow).bind(run.durability_code());
        let start = start.bind(&seed.0[..]).bind(run.idempotency_key.as_deref()).bind(input);
        let start = start.bind(run.timeout_us()).bind(&*signal.name).bind(payload);
        Ok(start
            .bind(signal.signal_id.as_deref())
            .bind(int(signal.inbox.letters))
            .bind(signal.inbox.bytes_column())
            .bind(tags_column(&run.tags))
            .bind(run.priority.code())
            .bind(run.concurrency_key.as_deref())
            .fetch_one(&self.pool)
            .await?)
    }
}

impl Started {
    /// Whether it was accepted just now.
    pub fn is_new(&self) -> bool {
        matches!(self, Self::New(_) | Self::Queued(_))
    }
}

impl NewRun {
    /// The run that it becomes if it is accepted at this time, for this version of the component that has its workflow.
    pub fn accepted(&self, component: Name, version: u32, at: Timestamp) -> RunInfo {
        RunInfo {
            run_id: self.run_id,
            namespace: self.namespace.clone(),
            workflow: self.workflow.clone(),
            component,
            version,
            started_at: at,
            seed: Seed::new(),
            durability: self.durability,
            priority: self.priority,
            deadline: self.timeout.map(|timeout| at.after(timeout)),
            parent: None,
            origin: Origin::new(at),
            lineage: Lineage::default(),
        }
    }

    /// As whoever is at it must know it, from its beginning on.
    pub fn claimed(&self, info: RunInfo) -> Claimed {
        let (input, tags) = (self.input.clone(), self.tags.clone());
        Claimed { info, input, tags, strikes: 0, standing: None, laps: 0 }
    }

    fn durability_code(&self) -> i16 {
        i16::from(self.durability == Durability::Strict)
    }

    fn timeout_us(&self) -> Option<i64> {
        self.timeout.map(|timeout| i64::try_from(duration_us(timeout)).unwrap_or(i64::MAX))
    }
}

impl StartedRow {
    fn into_new(self, run: &NewRun, seed: Seed) -> Result<RunInfo> {
        let Self { component: Some(component), version: Some(version), started_at: Some(started_at), .. } = self else {
            return Err(Error::Internal(sqlx::Error::Decode("a run without a component".into())));
        };
        let component = Name::new(&component).map_err(|error| Error::Internal(sqlx::Error::Decode(error.into())))?;
        let info = run.accepted(component, version.unsigned_abs(), started_at.into());
        Ok(RunInfo { seed, deadline: self.deadline_at.map(Into::into), ..info })
    }
}

/// Tags, as the functions of the database take those of one run: they have no commas.
pub(super) fn tags_column(tags: &Tags) -> Option<String> {
    (!tags.is_empty()).then(|| tags.written().collect::<Vec<_>>().join(","))
}
