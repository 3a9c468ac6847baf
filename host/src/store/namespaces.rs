//! Namespaces: their limits, and how much they keep.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::postgres::types::PgInterval;

use super::batch::int;
use super::schedule::duration;
use super::{Error, Result, Store};
use crate::model::{HostId, Namespace, OwnLimits, Retention, RetentionChange, Timestamp, Who};

/// A namespace, as its operator sees it.
#[derive(Clone, Debug)]
pub struct NamespaceSummary {
    /// Its name.
    pub namespace: String,
    /// The limits that are its own.
    pub limits: OwnLimits,
    /// Whether its payloads are sealed.
    pub seal_payloads: bool,
    /// Since when there is one.
    pub created_at: Timestamp,
    /// Bytes that it keeps, about.
    pub stored_bytes: i64,
    /// How long it keeps what has ended.
    pub retention: Retention,
    /// The steps that have a rate limit.
    pub limited_steps: Vec<String>,
}

#[derive(sqlx::FromRow)]
struct NamespaceRow {
    namespace: String,
    limits: String,
    seal_payloads: bool,
    created_at: DateTime<Utc>,
    bytes: i64,
    archive_after: Option<PgInterval>,
    keep_runs: Option<i64>,
    delete_after: Option<PgInterval>,
    keep_keys: PgInterval,
    export_archive: bool,
    limited_steps: Option<Vec<String>>,
}

/// What a namespace keeps, and its limits.
#[derive(sqlx::FromRow)]
pub(super) struct StorageRow {
    pub(super) namespace: String,
    pub(super) limits: String,
    pub(super) bytes: i64,
}

impl Store {
    /// Create a namespace or change its limits: `None` is the host's limit again, and what is not named stays. Returns whether it
    /// is a new one.
    pub async fn put_namespace(
        &self,
        namespace: &Namespace,
        limits: &[(String, Option<u64>)],
        who: &Who,
    ) -> Result<bool> {
        let limits: serde_json::Map<_, _> =
            limits.iter().map(|(name, number)| (name.clone(), (*number).into())).collect();
        let created = sqlx::query_scalar("SELECT created FROM put_namespace($1, $2, $3)")
            .bind(&**namespace)
            .bind(serde_json::Value::Object(limits).to_string())
            .bind(who.to_string());
        Ok(created.fetch_one(&self.pool).await?)
    }

    /// Change how long a namespace keeps what has ended.
    pub async fn put_retention(&self, namespace: &Namespace, change: &RetentionChange, who: &Who) -> Result<()> {
        let seconds = |time: Option<std::time::Duration>| time.map(|time| format!("{} seconds", time.as_secs_f64()));
        let mut columns = serde_json::Map::new();
        let mut say = |name: &str, value| columns.insert(name.to_owned(), value);
        change.archive_after.map(|time| say("archive_after", json!(seconds(time))));
        change.keep_runs.map(|runs| say("keep_runs", json!(runs)));
        change.delete_after.map(|time| say("delete_after", json!(seconds(time))));
        change.keep_keys.map(|time| say("keep_keys", json!(seconds(Some(time)))));
        change.export_archive.map(|export| say("export_archive", json!(export)));
        let put = sqlx::query("SELECT put_retention($1, $2, $3)").bind(&**namespace);
        put.bind(serde_json::Value::Object(columns).to_string()).bind(who.to_string()).execute(&self.pool).await?;
        Ok(())
    }

    /// A namespace; `None` if there is no such.
    pub async fn get_namespace(&self, namespace: &Namespace) -> Result<Option<NamespaceSummary>> {
        let row: Option<NamespaceRow> = sqlx::query_as("SELECT * FROM get_namespaces($1, '', 1)")
            .bind(&**namespace)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(Into::into))
    }

    /// Namespaces by name, after the one called `after`, at most `limit`.
    pub async fn list_namespaces(&self, after: &str, limit: u32) -> Result<Vec<NamespaceSummary>> {
        let rows: Vec<NamespaceRow> = sqlx::query_as("SELECT * FROM get_namespaces(NULL, $1, $2)")
            .bind(after)
            .bind(int(limit))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    /// This host has written so much for these namespaces. Returns what all have.
    pub(super) async fn add_storage(
        &self,
        host_id: HostId,
        namespaces: &[&str],
        bytes: &[i64],
    ) -> Result<Vec<StorageRow>> {
        let rows = sqlx::query_as("SELECT * FROM add_storage($1, $2, $3)").bind(host_id.0).bind(namespaces).bind(bytes);
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// What hosts have counted that are gone becomes one number for each namespace.
    pub async fn settle_storage(&self) -> Result<()> {
        sqlx::query("SELECT settle_storage()").execute(&self.pool).await?;
        Ok(())
    }

    /// Count anew what a namespace keeps. Reads all of it. Returns the bytes.
    pub async fn recount_storage(&self, namespace: &Namespace, who: &Who) -> Result<i64> {
        if self.get_namespace(namespace).await?.is_none() {
            return Err(Error::NoSuchNamespace);
        }
        let recounted = sqlx::query_scalar("SELECT recount_storage($1, $2)").bind(&**namespace).bind(who.to_string());
        Ok(recounted.fetch_one(&self.pool).await?)
    }
}

impl From<NamespaceRow> for NamespaceSummary {
    fn from(row: NamespaceRow) -> Self {
        let retention = Retention {
            archive_after: row.archive_after.map(duration),
            keep_runs: row.keep_runs.map(i64::unsigned_abs),
            delete_after: row.delete_after.map(duration),
            keep_keys: duration(row.keep_keys),
            export_archive: row.export_archive,
        };
        let (limits, stored_bytes) = (own_limits(&row.limits), total(row.bytes));
        let (seal_payloads, created_at) = (row.seal_payloads, row.created_at.into());
        let limited_steps = row.limited_steps.unwrap_or_default();
        Self { namespace: row.namespace, limits, seal_payloads, created_at, stored_bytes, retention, limited_steps }
    }
}

/// Limits as they are kept. What is there was checked when it was set; what is unreadable is none.
pub(super) fn own_limits(json: &str) -> OwnLimits {
    serde_json::from_str(json).unwrap_or_else(|error| {
        tracing::error!(%error, "the limits of a namespace are not readable: those of the host count");
        OwnLimits::new()
    })
}

/// A count that lost some of what it was made of may be below zero.
pub(super) fn total(bytes: i64) -> i64 {
    bytes.max(0)
}
