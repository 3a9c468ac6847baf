//! Which run goes where: claim, fire, reap.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgInterval;
use std::time::Duration;

use super::lines::RunLine;
use super::seals::sealed_among;
use super::{Error, Lease, Result, Store};
use crate::model::{
    CancelReason, Durability, Lineage, Name, Namespace, Origin, Payload, Priority, RunId, RunInfo, SHARDS, Seed, Tags,
};

/// A run that this host now owns.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// What is fixed about it.
    pub info: RunInfo,
    /// What it was started with.
    pub input: Payload,
    /// What it is found by.
    pub tags: Tags,
    /// Activations in a row that failed without progress.
    pub strikes: u16,
    /// What there is to be read of it, if that is known: whoever takes it up need not look.
    pub standing: Option<Standing>,
    /// How often in a row this host has seen it continue as new without an event.
    pub laps: u32,
}

/// What a host finds when it takes up a run.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The number of the next event.
    pub next_seq: u32,
    /// Whether there is anything in its inbox.
    pub has_letters: bool,
    /// Whether attempts of steps have left anything.
    pub has_attempts: bool,
    /// Whether it is not to be taken up.
    pub is_paused: bool,
}

/// What [`Store::fire_timers`] did.
#[derive(Clone, Copy, Debug)]
pub struct Fired {
    /// Runs that became ready.
    pub fired: u32,
    /// Until the next is due.
    pub next_in: Option<Duration>,
}

/// What [`Store::reap`] did.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct Reaped {
    /// Hosts that were dead.
    pub hosts_reaped: i32,
    /// Their runs, ready again.
    pub runs_freed: i32,
}

#[derive(sqlx::FromRow)]
pub(super) struct ClaimedRow {
    pub(super) run_id: uuid::Uuid,
    pub(super) namespace: String,
    pub(super) workflow: String,
    pub(super) component: String,
    pub(super) version: i32,
    pub(super) durability: i16,
    pub(super) seed: Vec<u8>,
    pub(super) input: Vec<u8>,
    pub(super) started_at: DateTime<Utc>,
    pub(super) deadline_at: Option<DateTime<Utc>>,
    pub(super) parent_run_id: Option<uuid::Uuid>,
    pub(super) parent_call: Option<i32>,
    pub(super) generation: i32,
    pub(super) first_seq: i32,
    pub(super) first_call: i32,
    pub(super) continued_at: Option<DateTime<Utc>>,
    pub(super) told: Option<String>,
    pub(super) lineage: Option<String>,
    pub(super) priority: i16,
    pub(super) tags: Option<Vec<String>>,
    pub(super) strikes: i16,
}

impl Store {
    /// Take up to `limit` ready runs, beginning with the shard `first`; of each of these namespaces as many as stands beside it
    /// at most, of each other `each`.
    pub async fn claim(
        &self,
        lease: &Lease,
        first: i16,
        limit: usize,
        (each, known): (usize, &[(Namespace, usize)]),
    ) -> Result<Vec<Claimed>> {
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let (namespaces, rooms): (Vec<_>, Vec<_>) =
            known.iter().map(|(namespace, room)| (namespace.to_string(), count(*room))).unzip();
        let rows: Vec<ClaimedRow> = sqlx::query_as("SELECT * FROM claim($1, $2, $3, $4, $5, $6, $7)")
            .bind(lease.host_id.0)
            .bind(lease.epoch)
            .bind(first.rem_euclid(SHARDS))
            .bind(count(limit))
            .bind(count(each))
            .bind(namespaces)
            .bind(rooms)
            .fetch_all(&self.pool)
            .await?;
        self.claimed(rows).await
    }

    /// Take up one run that [`claim`](Self::claim) leaves alone: hosts have died while they were at it, or it has crashed without
    /// progress. Begins with the shard `first`.
    pub async fn claim_suspect(&self, lease: &Lease, first: i16) -> Result<Option<Claimed>> {
        let row: Option<ClaimedRow> = sqlx::query_as("SELECT * FROM claim_suspect($1, $2, $3)")
            .bind(lease.host_id.0)
            .bind(lease.epoch)
            .bind(first.rem_euclid(SHARDS))
            .fetch_optional(&self.pool)
            .await?;
        Ok(self.claimed(row).await?.pop())
    }

    async fn claimed(&self, rows: impl IntoIterator<Item = ClaimedRow>) -> Result<Vec<Claimed>> {
        let mut claimed = Vec::new();
        for mut row in rows {
            match self.open(&row.namespace, sealed_among([&mut row.input])).await {
                Ok(()) => claimed.push(row.try_into()?),
                // The others go on. This one stays with the host, which tries again when it looks for orphans.
                Err(Error::Sealed(error)) => {
                    tracing::error!(run.id = %row.run_id, %error, "the input of a run cannot be opened");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(claimed)
    }

    /// The host has outlived a run that it took up so.
    pub async fn end_trial(&self, lease: &Lease, run_id: RunId) -> Result<()> {
        sqlx::query("SELECT end_trial($1, $2)").bind(lease.host_id.0).bind(run_id.0).execute(&self.pool).await?;
        Ok(())
    }

    /// Find out what there is to be read of runs that this host has claimed, in one question for all of them.
    pub async fn look_at(&self, claimed: &mut [Claimed]) -> Result<()> {
        let ids: Vec<_> = claimed.iter().map(|claimed| claimed.info.run_id.0).collect();
        let rows: Vec<(uuid::Uuid, Option<i32>, bool, bool, bool)> =
            sqlx::query_as("SELECT run_id, next_seq, has_letters, has_attempts, is_paused FROM standing($1)")
                .bind(ids)
                .fetch_all(&self.pool)
                .await?;
        let mut found: HashMap<_, _> = rows.into_iter().map(|row| (row.0, row)).collect();
        for claimed in claimed {
            let row = found.remove(&claimed.info.run_id.0);
            claimed.standing = row.map(|(_, next_seq, has_letters, has_attempts, is_paused)| {
                let next_seq = next_seq.map_or(claimed.info.origin.seq, i32::unsigned_abs);
                Standing { next_seq, has_letters, has_attempts, is_paused }
            });
        }
        Ok(())
    }

    /// A run of a namespace, archived or not, as whoever is at it must know it; `None` if there is no such.
    pub async fn recorded_run(&self, namespace: &Namespace, run_id: RunId) -> Result<Option<Claimed>> {
        let mut row: Option<ClaimedRow> = sqlx::query_as(
            "SELECT c.* FROM runs r CROSS JOIN LATERAL as_claimed(r, 0::smallint) c \
             WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $3",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(&**namespace)
        .fetch_optional(&mut *self.tenant(namespace).await?)
        .await?;
        if row.is_none() {
            row = self.archived_rest(namespace, run_id).await?.run.map(RunLine::into_claimed).transpose()?;
        }
        Ok(self.claimed(row).await?.pop())
    }

    /// Runs that this host owns for longer than `age` and that are not among those that it knew when it asked.
    pub async fn orphans(&self, lease: &Lease, known: &[RunId], age: Duration) -> Result<Vec<Claimed>> {
        let known: Vec<_> = known.iter().map(|run_id| run_id.0).collect();
        let rows: Vec<ClaimedRow> = sqlx::query_as("SELECT * FROM orphans($1, $2, $3, $4)")
            .bind(lease.host_id.0)
            .bind(lease.epoch)
            .bind(known)
            .bind(age)
            .fetch_all(&self.pool)
            .await?;
        self.claimed(rows).await
    }

    /// Parked runs whose time has come become ready, at most `limit`.
    pub async fn fire_timers(&self, limit: u32) -> Result<Fired> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let (fired, next_in): (i32, Option<PgInterval>) =
            sqlx::query_as("SELECT fired, next_in FROM fire_timers($1)").bind(limit).fetch_one(&self.pool).await?;
        Ok(Fired { fired: fired.unsigned_abs(), next_in: next_in.map(duration) })
    }

    /// Free the runs of other hosts that are dead: whose lease has run out, or whose session is gone and who have been
    /// silent for `missed`. Waits for a write of theirs that is under way, for `patience` at most.
    pub async fn reap(&self, lease: &Lease, missed: Duration, patience: Duration) -> Result<Reaped> {
        let reaped = sqlx::query_as("SELECT hosts_reaped, runs_freed FROM reap($1, $2, $3)")
            .bind(lease.host_id.0)
            .bind(missed)
            .bind(patience);
        Ok(reaped.fetch_one(&self.pool).await?)
    }

    /// Ask children to stop whose parents have ended or no longer want them, at most `limit`. Returns whether there may be
    /// more, and those that a host is at.
    pub async fn cancel_released(&self, limit: u32) -> Result<(bool, Vec<RunId>)> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let (released, owned): (i32, Option<Vec<uuid::Uuid>>) =
            sqlx::query_as("SELECT released, owned_runs FROM cancel_released($1)")
                .bind(limit)
                .fetch_one(&self.pool)
                .await?;
        Ok((released >= limit, owned.unwrap_or_default().into_iter().map(RunId).collect()))
    }

    /// Take dead rows out of the tables that change all the time.
    pub async fn vacuum(&self) -> Result<()> {
        sqlx::query("VACUUM (SKIP_LOCKED) ready, owned, parked, paused, queued, slots, gates, inbox, children, hosts")
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

impl TryFrom<ClaimedRow> for Claimed {
    type Error = Error;

    fn try_from(row: ClaimedRow) -> Result<Self> {
        let corrupt = |what: &str| Error::Internal(sqlx::Error::Decode(format!("a run's {what}").into()));
        let started_at = row.started_at.into();
        let origin = Origin {
            generation: row.generation.unsigned_abs(),
            seq: row.first_seq.unsigned_abs(),
            call: row.first_call.unsigned_abs(),
            at: row.continued_at.map_or(started_at, Into::into),
            told: row.told.as_deref().and_then(CancelReason::named),
        };
        let info = RunInfo {
            run_id: RunId(row.run_id),
            namespace: Namespace::new(&row.namespace).map_err(|_| corrupt("namespace"))?,
            workflow: Name::new(&row.workflow).map_err(|_| corrupt("workflow"))?,
            component: Name::new(&row.component).map_err(|_| corrupt("component"))?,
            version: row.version.unsigned_abs(),
            started_at,
            seed: Seed(row.seed.try_into().map_err(|_| corrupt("seed"))?),
            durability: durability(row.durability),
            priority: Priority::stored(row.priority),
            deadline: row.deadline_at.map(Into::into),
            parent: row.parent_run_id.map(RunId).zip(row.parent_call.map(i32::unsigned_abs)),
            origin,
            lineage: Lineage::from_text(row.lineage.as_deref()).map_err(|_| corrupt("lineage"))?,
        };
        Ok(Self {
            info,
            input: Payload::stored(row.input),
            tags: Tags::stored(row.tags.unwrap_or_default()),
            strikes: row.strikes.unsigned_abs(),
            standing: None,
            laps: 0,
        })
    }
}

/// As the database says how long something is; below zero, nothing.
pub(super) fn duration(interval: PgInterval) -> Duration {
    let days = i64::from(interval.days) + 30 * i64::from(interval.months);
    let micros = interval.microseconds.saturating_add(days.saturating_mul(86_400_000_000));
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

pub(super) fn durability(code: i16) -> Durability {
    if code == 1 { Durability::Strict } else { Durability::Output }
}
