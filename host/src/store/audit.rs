//! Reading the audit log. What writes to it is the function `audit`, called in the transaction of the change that it is about.

use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::batch::int;
use super::{Error, Result, Store};
use crate::model::{AuditEntry, AuditHead, Digest, Reach};

impl Store {
    /// Up to `limit` entries of a chain after the one with the number `after`, and where the chain ends, as of one moment.
    pub async fn audit_log(&self, reach: &Reach, after: u64, limit: u32) -> Result<(Vec<AuditEntry>, AuditHead)> {
        let rows = sqlx::query(
            "SELECT h.seq AS head_seq, h.hash AS head_hash, l.seq, l.at, l.who, l.what, l.subject, l.details, \
             l.previous_hash, l.hash \
             FROM (SELECT $1::text AS namespace) n LEFT JOIN audit_heads h ON h.namespace = n.namespace \
             LEFT JOIN LATERAL (SELECT * FROM audit_log a WHERE a.namespace = n.namespace AND a.seq > $2 \
                                ORDER BY a.seq LIMIT $3) l ON true ORDER BY l.seq",
        )
        .bind(reach.as_str())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(int(limit))
        .fetch_all(&mut *self.within(reach).await?)
        .await?;
        // A chain without an entry is one row without one.
        let head = match rows.first() {
            Some(row) => head(row)?,
            None => AuditHead::EMPTY,
        };
        let entries = rows.iter().filter_map(|row| entry(reach, row).transpose()).collect::<Result<_>>()?;
        Ok((entries, head))
    }
}

fn head(row: &PgRow) -> Result<AuditHead> {
    let Some(seq) = row.try_get::<Option<i64>, _>("head_seq")? else { return Ok(AuditHead::EMPTY) };
    Ok(AuditHead { seq: seq.unsigned_abs(), hash: digest(row, "head_hash")? })
}

fn entry(reach: &Reach, row: &PgRow) -> Result<Option<AuditEntry>> {
    let Some(seq) = row.try_get::<Option<i64>, _>("seq")? else { return Ok(None) };
    Ok(Some(AuditEntry {
        namespace: reach.as_str().to_owned(),
        seq: seq.unsigned_abs(),
        at: row.try_get::<DateTime<Utc>, _>("at")?.into(),
        who: row.try_get("who")?,
        what: row.try_get("what")?,
        subject: row.try_get("subject")?,
        details: row.try_get("details")?,
        previous_hash: digest(row, "previous_hash")?,
        hash: digest(row, "hash")?,
    }))
}

fn digest(row: &PgRow, column: &str) -> Result<Digest> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let corrupt = || Error::Internal(sqlx::Error::Decode("a hash of the audit log".into()));
    Ok(Digest(bytes.try_into().map_err(|_| corrupt())?))
}
