//! The archive as the host that works on it sees it: runs that go there, and days of it that come to their end.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::lines::KeyLine;
use super::{Error, Result, Store, WrappedKey};
use crate::model::{Namespace, RunId, Timestamp};

/// A session that works on the archive. Apart from the others: what it does may take long, if a run is large.
#[derive(Debug)]
pub struct Archivist(PgConnection);

/// How long one statement of it may take.
const STATEMENT_MAX: &str = "10min";

/// A place in the runs of a namespace, by their start.
pub type Place = (Timestamp, RunId);

/// A part of a run in the archive, and where it stands there.
#[derive(Clone, Debug)]
pub struct ArchivedPart {
    /// Its run.
    pub place: Place,
    /// Its number.
    pub part: i32,
    /// What it says.
    pub lines: String,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Archived {
    /// So many runs are in the archive now, and all up to here have been looked at; up to the end, if there is nothing.
    Some(u32, Option<Place>),
    /// Another host is at it.
    Busy,
}

/// A day of the archive that has come to its end.
#[derive(Clone, Debug)]
pub struct RipeDay {
    /// Which.
    pub day: NaiveDate,
    /// Namespaces that have something there, and want to have it exported before.
    pub exported: Vec<Namespace>,
}

/// How much of a namespace has ended, and how long ago.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct RetentionStats {
    /// When: `last 24 h`, `last 7 d`, `last 30 d` or `older`.
    pub ended: String,
    /// Runs that are not archived.
    pub runs: i64,
    /// Bytes that they keep.
    pub bytes: i64,
    /// Runs that are.
    pub archived_runs: i64,
    /// Bytes that they keep.
    pub archived_bytes: i64,
}

impl Store {
    /// Namespaces of which something is to be archived, or that have changed their minds about what is; whether they have.
    pub async fn archiving_namespaces(&self) -> Result<Vec<(Namespace, bool)>> {
        let rows: Vec<(String, bool)> =
            sqlx::query_as("SELECT namespace, redate FROM archiving_namespaces()").fetch_all(&self.pool).await?;
        rows.into_iter().map(|(name, redate)| Ok((namespace(&name)?, redate))).collect()
    }

    /// Days of the archive that have come to their end.
    pub async fn ripe_archives(&self) -> Result<Vec<RipeDay>> {
        let rows: Vec<(NaiveDate, Vec<String>)> =
            sqlx::query_as("SELECT day, exported FROM ripe_archives()").fetch_all(&self.pool).await?;
        let ripe = |(day, exported): (_, Vec<String>)| {
            let exported: Result<_> = exported.iter().map(|name| namespace(name)).collect();
            Ok(RipeDay { day, exported: exported? })
        };
        rows.into_iter().map(ripe).collect()
    }

    /// How much of a namespace has ended, and how long ago. Reads all of it.
    pub async fn retention_stats(&self, namespace: &Namespace) -> Result<Vec<RetentionStats>> {
        if self.get_namespace(namespace).await?.is_none() {
            return Err(Error::NoSuchNamespace);
        }
        let stats = sqlx::query_as("SELECT * FROM retention_stats($1)").bind(&**namespace);
        Ok(stats.fetch_all(&self.pool).await?)
    }

    /// A session for the archive.
    pub async fn archivist(&self) -> Result<Archivist> {
        let mut session = self.connection().await?;
        sqlx::query("SELECT set_config('statement_timeout', $1, false)")
            .bind(STATEMENT_MAX)
            .execute(&mut session)
            .await?;
        Ok(Archivist(session))
    }
}

impl Archivist {
    /// The newest run of a namespace that is older than those that it wants to keep for their number.
    pub async fn last_kept_run(&mut self, namespace: &Namespace) -> Result<Option<Place>> {
        let (at, id): (Option<DateTime<Utc>>, Option<Uuid>) =
            sqlx::query_as("SELECT started_at, run_id FROM last_kept_run($1)")
                .bind(&**namespace)
                .fetch_one(&mut self.0)
                .await?;
        Ok(place(at, id))
    }

    /// Look at the next `limit` runs of a namespace after `after`, and archive those whose time has come.
    pub async fn archive_runs(
        &mut self,
        namespace: &Namespace,
        after: Option<Place>,
        beyond: Option<Place>,
        limit: u32,
    ) -> Result<Archived> {
        let (archived, at, id): (Option<i32>, Option<DateTime<Utc>>, Option<Uuid>) = sqlx::query_as(
            "SELECT archived, next_at, next_id FROM archive_runs($1, coalesce($2, '-infinity'), $3, $4, $5, $6)",
        )
        .bind(&**namespace)
        .bind(after.map(|(at, _)| DateTime::<Utc>::from(at)))
        .bind(after.map_or(Uuid::nil(), |(_, id)| id.0))
        .bind(beyond.map(|(at, _)| DateTime::<Utc>::from(at)))
        .bind(beyond.map(|(_, id)| id.0))
        .bind(super::batch::int(limit))
        .fetch_one(&mut self.0)
        .await?;
        Ok(archived.map_or(Archived::Busy, |count| Archived::Some(count.unsigned_abs(), place(at, id))))
    }

    /// Put up to `limit` parts of a namespace's archive under the day on which they are to be deleted by now. How many there were; `None`:
    /// another host is at it.
    pub async fn redate_archive(&mut self, namespace: &Namespace, limit: u32) -> Result<Option<u32>> {
        let moved: Option<i32> = sqlx::query_scalar("SELECT redate_archive($1, $2)")
            .bind(&**namespace)
            .bind(super::batch::int(limit))
            .fetch_one(&mut self.0)
            .await?;
        Ok(moved.map(i32::unsigned_abs))
    }

    /// Be the one who exports, until the session ends. Whether nobody else is.
    pub async fn lock_exports(&mut self) -> Result<bool> {
        let locked = sqlx::query_scalar("SELECT pg_try_advisory_lock(export_lock_key())");
        Ok(locked.fetch_one(&mut self.0).await?)
    }

    /// What a namespace has in the archive of a day, after this part of it: some megabytes.
    pub async fn read_archive(
        &mut self,
        day: NaiveDate,
        namespace: &Namespace,
        after: Option<&ArchivedPart>,
    ) -> Result<Vec<ArchivedPart>> {
        let rows: Vec<(DateTime<Utc>, Uuid, i32, String)> = sqlx::query_as(
            "SELECT started_at, run_id, part, lines FROM read_archive($1, $2, coalesce($3, '-infinity'), $4, $5)",
        )
        .bind(day)
        .bind(&**namespace)
        .bind(after.map(|part| DateTime::<Utc>::from(part.place.0)))
        .bind(after.map_or(Uuid::nil(), |part| part.place.1.0))
        .bind(after.map_or(-1, |part| part.part))
        .fetch_all(&mut self.0)
        .await?;
        let part = |(at, id, part, lines): (DateTime<Utc>, _, _, _)| {
            let place = (at.into(), RunId(id));
            ArchivedPart { place, part, lines }
        };
        Ok(rows.into_iter().map(part).collect())
    }

    /// Lines for the beginning of a file: the keys that a namespace's documents may be sealed under, wrapped.
    pub async fn key_lines(&mut self, namespace: &Namespace) -> Result<String> {
        let rows: Vec<(Uuid, String, Vec<u8>)> = sqlx::query_as(
            "SELECT key_id, master_key_id, wrapped FROM data_keys WHERE namespace = $1 AND opens_payloads ORDER BY key_id",
        )
        .bind(&**namespace)
        .fetch_all(&mut self.0)
        .await?;
        let key = |(key_id, master_key_id, wrapped)| WrappedKey {
            namespace: namespace.clone(),
            key_id,
            master_key_id,
            wrapped,
        };
        Ok(rows.into_iter().map(|row| KeyLine::text(&key(row))).collect())
    }

    /// Drop the archive of a day, of which what these namespaces have was exported. How many runs there were; `None`: not now.
    pub async fn drop_archive(&mut self, day: NaiveDate, exported: &[Namespace]) -> Result<Option<u64>> {
        let exported: Vec<_> = exported.iter().map(|namespace| &**namespace).collect();
        let dropped: Option<i64> =
            sqlx::query_scalar("SELECT drop_archive($1, $2)").bind(day).bind(exported).fetch_one(&mut self.0).await?;
        Ok(dropped.map(i64::unsigned_abs))
    }

    /// End the session.
    pub async fn close(self) {
        if let Err(error) = tokio::time::timeout(Duration::from_secs(1), self.0.close()).await {
            tracing::debug!(%error, "the session of the archive does not end");
        }
    }
}

fn place(at: Option<DateTime<Utc>>, id: Option<Uuid>) -> Option<Place> {
    Some((at?.into(), RunId(id?)))
}

fn namespace(name: &str) -> Result<Namespace> {
    Namespace::new(name).map_err(|error| Error::Internal(sqlx::Error::Decode(error.into())))
}
