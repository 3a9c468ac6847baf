//! `GET /v1/namespaces/{namespace}/audit`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::extract::{Path, Query};
use crate::model::{AuditEntry, AuditHead, Digest, Reach, Timestamp};
use crate::worker::Host;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Only entries after the one with this number.
    #[serde(default)]
    #[param(default = 0)]
    after: u64,
    /// How many at most, up to 1,000.
    #[serde(default = "limit_default")]
    #[param(default = 1000)]
    limit: u32,
}

const LIMIT_MAX: u32 = 1_000;

fn limit_default() -> u32 {
    LIMIT_MAX
}

/// A page of an audit log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// Oldest first.
    pub entries: Vec<AuditView>,
    /// Where the log ends, as of the moment of this page: whoever keeps it elsewhere can tell later whether all of the log up to
    /// there is as it was.
    pub head: AuditHeadView,
}

/// An entry of an audit log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// Its number: 1 for the first of the namespace.
    pub seq: u64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who: the id of a key, `cli:` and an account, or `dev`.
    pub who: String,
    /// What was done: `component.deploy`, `key.create`, `run.terminate`, …
    pub what: String,
    /// To what.
    pub subject: String,
    /// Anything more: a text of JSON, because the hash is over its very characters.
    pub details: String,
    /// The hash of the entry before, in hexadecimal.
    pub previous_hash: String,
    /// SHA-256 over the hash before, and over the length (4 bytes, the greatest first) and the bytes of namespace, number,
    /// microseconds since 1970, who, what, subject and details.
    pub hash: String,
}

/// Where an audit log ends.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditHeadView {
    /// The number of the last entry; 0 if there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

/// What operators have changed in a namespace, and who did it; for the namespace `*`, what belongs to none.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/audit",
    tag = "audit",
    params(("namespace" = String, Path), Parameters),
    responses((status = 200, body = AuditPage))
)]
pub(super) async fn get_audit(
    State(host): State<Arc<Host>>,
    Path(reach): Path<Reach>,
    Query(Parameters { after, limit }): Query<Parameters>,
) -> Result<Json<AuditPage>, Problem> {
    let (entries, head) = host.store.audit_log(&reach, after, limit.clamp(1, LIMIT_MAX)).await?;
    Ok(Json(AuditPage { entries: entries.into_iter().map(Into::into).collect(), head: head.into() }))
}

impl From<AuditEntry> for AuditView {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { namespace: _, seq, at, who, what, subject, details, previous_hash, hash } = entry;
        Self { seq, at, who, what, subject, details, previous_hash: previous_hash.hex(), hash: hash.hex() }
    }
}

impl From<AuditHead> for AuditHeadView {
    fn from(head: AuditHead) -> Self {
        Self { seq: head.seq, hash: head.hash.hex() }
    }
}

impl AuditView {
    /// The entry, if its hashes are hashes. `reach`: the namespace of the log that it is in.
    pub fn into_entry(self, reach: &Reach) -> Option<AuditEntry> {
        let Self { seq, at, who, what, subject, details, previous_hash, hash } = self;
        let (previous_hash, hash) = (Digest::from_hex(&previous_hash)?, Digest::from_hex(&hash)?);
        Some(AuditEntry { namespace: reach.to_string(), seq, at, who, what, subject, details, previous_hash, hash })
    }
}

impl AuditHeadView {
    /// The place, if its hash is one.
    pub fn into_head(self) -> Option<AuditHead> {
        Some(AuditHead { seq: self.seq, hash: Digest::from_hex(&self.hash)? })
    }
}
