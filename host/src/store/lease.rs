//! A host's right to its runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{DatabaseClock, Error, Result, Store};
use crate::model::HostId;

/// How long leases last and how often they are renewed.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTimes {
    /// How long a lease lasts when it is not renewed.
    pub ttl: Duration,
    /// How often it is renewed.
    pub renew: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(10), renew: Duration::from_secs(1) }
    }
}

/// One epoch of a host. When it is lost, everything that was begun under it ends; the next one is another lease.
#[derive(Debug)]
pub struct Lease {
    /// Whose.
    pub host_id: HostId,
    /// The fencing number.
    pub epoch: i64,
    /// Cancelled when it is lost.
    pub lost: CancellationToken,
    times: LeaseTimes,
    origin: Instant,
    /// Milliseconds after the origin at which it runs out.
    until_ms: AtomicU64,
    /// Holds the advisory lock that tells others that this host lives. None after it broke.
    session: tokio::sync::Mutex<Option<PgConnection>>,
}

impl Store {
    /// Take a lease, for a host that knows this edition and those before. Also says what time it is.
    pub async fn take_lease(
        &self,
        host_id: HostId,
        name: &str,
        times: LeaseTimes,
        edition: u16,
    ) -> Result<(Lease, DatabaseClock)> {
        // Before the row is there: whoever sees the row must find the lock taken.
        let mut connection = self.lock_host(host_id).await?;
        let origin = Instant::now();
        let (epoch, now): (i64, DateTime<Utc>) = sqlx::query_as("SELECT take_lease($1, $2, $3, $4), clock_timestamp()")
            .bind(host_id.0)
            .bind(name)
            .bind(times.ttl)
            .bind(super::components::column(edition))
            .fetch_one(&mut connection)
            .await?;
        let lease = Lease {
            host_id,
            epoch,
            lost: CancellationToken::new(),
            times,
            origin,
            until_ms: AtomicU64::new(millis(times.ttl)),
            session: Some(connection).into(),
        };
        Ok((lease, DatabaseClock::new(now.into())))
    }

    /// A session that tells others, as long as it lasts, that the host lives. Where an older session of the host has the
    /// lock, which the server does not know to be gone, that one tells them.
    async fn lock_host(&self, host_id: HostId) -> Result<PgConnection> {
        let mut connection = self.connection().await?;
        sqlx::query("SELECT pg_try_advisory_lock(host_lock_key($1))").bind(host_id.0).execute(&mut connection).await?;
        Ok(connection)
    }
}

impl Lease {
    /// Renew it, over a new session if the last one broke. Fails with [`Error::Fenced`] when it is gone.
    pub async fn renew(&self, store: &Store, clock: &DatabaseClock) -> Result<()> {
        let mut session = self.session.lock().await;
        let mut connection = match session.take() {
            Some(connection) => connection,
            None => store.lock_host(self.host_id).await?,
        };
        // Counted from before the question: the database counts from later.
        let asked = self.origin.elapsed();
        let renewed = sqlx::query_as("SELECT renewed, at FROM renew_lease($1, $2, $3)")
            .bind(self.host_id.0)
            .bind(self.epoch)
            .bind(self.times.ttl)
            .fetch_one(&mut connection)
            .await?;
        *session = Some(connection);
        let (true, at): (bool, DateTime<Utc>) = renewed else { return Err(Error::Fenced) };
        clock.set(at.into());
        self.until_ms.store(millis(asked + self.times.ttl), Ordering::Relaxed);
        Ok(())
    }

    /// Give it up in good order; its runs are anyone's at once. Returns how many there were.
    pub async fn end(&self) -> Result<i32> {
        self.lost.cancel();
        let Some(mut connection) = self.session.lock().await.take() else { return Err(Error::Fenced) };
        let released = sqlx::query_scalar("SELECT end_lease($1, $2)").bind(self.host_id.0).bind(self.epoch);
        Ok(released.fetch_one(&mut connection).await?)
    }

    /// How long it still lasts, by this host's own monotonic clock.
    pub fn remaining(&self) -> Duration {
        let until = Duration::from_millis(self.until_ms.load(Ordering::Relaxed));
        if self.lost.is_cancelled() { Duration::ZERO } else { until.saturating_sub(self.origin.elapsed()) }
    }

    /// How long it lasts and how often it is renewed.
    pub fn times(&self) -> LeaseTimes {
        self.times
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
