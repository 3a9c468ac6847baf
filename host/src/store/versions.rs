//! Versions of components: which one new runs take, and moving runs from one to another.

use chrono::{DateTime, Utc};

use super::batch::int;
use super::{Error, Result, Store};
use crate::model::{Name, Namespace, Origin, RunId, Timestamp, Who};

/// A version in a list.
#[derive(Clone, Debug)]
pub struct VersionListing {
    /// 1, 2, ….
    pub version: u32,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    /// When it was uploaded.
    pub deployed_at: Timestamp,
    /// Since when no new run is to take it.
    pub deprecated_at: Option<Timestamp>,
    /// Whether new runs take it.
    pub is_current: bool,
    /// Whether they do so whatever is deployed.
    pub is_pinned: bool,
    /// Runs of it that are not over, up to [`LIVE_MAX`].
    pub live: u64,
    /// The version of the WIT package that it was built for.
    pub contract: String,
}

/// Runs of a version are counted up to here.
pub const LIVE_MAX: u32 = 10_000;

#[derive(sqlx::FromRow)]
struct VersionRow {
    version: i32,
    digest: Vec<u8>,
    deployed_at: DateTime<Utc>,
    deprecated_at: Option<DateTime<Utc>>,
    is_current: bool,
    is_pinned: bool,
    live: i64,
    contract: String,
}

/// What a run has come to when somebody looked.
#[derive(Clone, Copy, Debug)]
pub struct Standpoint {
    /// The version that it is on.
    pub version: u32,
    /// Where its history begins.
    pub origin: Origin,
    /// The number of its next event.
    pub next_seq: u32,
}

impl Store {
    /// The versions of a component, the newest first; none if there is no such component.
    pub async fn list_versions(&self, namespace: &Namespace, component: &Name) -> Result<Vec<VersionListing>> {
        let rows: Vec<VersionRow> = sqlx::query_as("SELECT * FROM list_versions($1, $2, $3)")
            .bind(&**namespace)
            .bind(&**component)
            .bind(int(LIVE_MAX))
            .fetch_all(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// New runs take this version from now on; with `pin`, whatever is deployed later. `workflows` are those that it has.
    pub async fn use_version(
        &self,
        namespace: &Namespace,
        (component, version): (&Name, u32),
        workflows: &[String],
        pin: bool,
        who: &Who,
    ) -> Result<()> {
        sqlx::query("SELECT use_version($1, $2, $3, $4, $5, $6)")
            .bind(&**namespace)
            .bind(&**component)
            .bind(int(version))
            .bind(workflows)
            .bind(pin)
            .bind(who.to_string())
            .execute(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(())
    }

    /// Say that no new run is to take a version, or take that back.
    pub async fn deprecate_version(
        &self,
        namespace: &Namespace,
        (component, version): (&Name, u32),
        deprecate: bool,
        who: &Who,
    ) -> Result<()> {
        sqlx::query("SELECT deprecate_version($1, $2, $3, $4, $5)")
            .bind(&**namespace)
            .bind(&**component)
            .bind(int(version))
            .bind(deprecate)
            .bind(who.to_string())
            .execute(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(())
    }

    /// Forget a version that no run needs; with `forget_failed`, those that have failed need nothing.
    pub async fn delete_version(
        &self,
        namespace: &Namespace,
        (component, version): (&Name, u32),
        forget_failed: bool,
        who: &Who,
    ) -> Result<()> {
        sqlx::query("SELECT delete_version($1, $2, $3, $4, $5)")
            .bind(&**namespace)
            .bind(&**component)
            .bind(int(version))
            .bind(forget_failed)
            .bind(who.to_string())
            .execute(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(())
    }

    /// Move a run to another version of its component, if it still is where somebody has looked.
    pub async fn migrate_run(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        from: Standpoint,
        to: u32,
        who: &Who,
    ) -> Result<()> {
        let moved = sqlx::query("SELECT migrate_run($1, $2, $3, $4, $5, $6, $7)")
            .bind(&**namespace)
            .bind(run_id.0)
            .bind(int(from.version))
            .bind(int(to))
            .bind(int(from.origin.generation))
            .bind(int(from.next_seq))
            .bind(who.to_string())
            .execute(&mut *self.tenant(namespace).await?)
            .await
            .map_err(Error::from);
        moved.map(drop)
    }
}

impl From<VersionRow> for VersionListing {
    fn from(row: VersionRow) -> Self {
        Self {
            version: row.version.unsigned_abs(),
            digest: row.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            deployed_at: row.deployed_at.into(),
            deprecated_at: row.deprecated_at.map(Into::into),
            is_current: row.is_current,
            is_pinned: row.is_pinned,
            live: row.live.unsigned_abs(),
            contract: row.contract,
        }
    }
}
