//! API keys.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Error, Result, Store};
use crate::model::{ApiKey, KeyId, Reach, Scope, SecretHash, Timestamp, Who, duration_us};

/// A key, as a host checks it.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// Its id.
    pub key_id: KeyId,
    /// Which namespaces it reaches.
    pub reach: Reach,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// Of its secret.
    pub secret_hash: SecretHash,
    /// Whether it still works.
    pub state: KeyState,
}

/// Whether a key still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It does.
    Live,
    /// Its time is over.
    Expired,
    /// Somebody revoked it.
    Revoked,
}

/// A key, as people see it.
#[derive(Clone, Debug)]
pub struct KeyListing {
    /// Its id.
    pub key_id: KeyId,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// What it is called.
    pub name: String,
    /// Since when.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, about.
    pub last_used_at: Option<Timestamp>,
    /// When somebody revoked it.
    pub revoked_at: Option<Timestamp>,
}

/// A key to be kept.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// The key itself.
    pub key: &'a ApiKey,
    /// Which namespaces it reaches.
    pub reach: &'a Reach,
    /// What it is good for.
    pub scopes: &'a [Scope],
    /// What it is called.
    pub name: &'a str,
    /// From now to its end; none is for ever.
    pub lifetime: Option<Duration>,
    /// Who makes it.
    pub who: &'a Who,
}

/// Keys of a namespace that work at a time; as many are listed.
const KEYS_MAX: i32 = 1_000;

#[derive(sqlx::FromRow)]
struct ListingRow {
    key_id: String,
    scopes: Vec<String>,
    name: String,
    created_at: DateTime<Utc>,
    created_by: String,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
}

impl Store {
    /// The key of this id, whoever asks; its secret has yet to be checked. `None`: there is no such.
    pub async fn find_key(&self, key_id: KeyId) -> Result<Option<KnownKey>> {
        let row: Option<(String, Vec<String>, Vec<u8>, i16)> = sqlx::query_as(
            "SELECT namespace, scopes, secret_hash, CASE WHEN revoked_at IS NOT NULL THEN 2 \
             WHEN expires_at <= clock_timestamp() THEN 1 ELSE 0 END::smallint FROM api_keys WHERE key_id = $1",
        )
        .bind(key_id.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some((namespace, scopes, secret_hash, state)) = row else { return Ok(None) };
        let reach = namespace.try_into().map_err(|_| corrupt("namespace"))?;
        let secret_hash = SecretHash(secret_hash.try_into().map_err(|_| corrupt("hash"))?);
        let state = match state {
            0 => KeyState::Live,
            1 => KeyState::Expired,
            _ => KeyState::Revoked,
        };
        Ok(Some(KnownKey { key_id, reach, scopes: parsed(&scopes), secret_hash, state }))
    }

    /// Keep a key: of its secret, the hash. Returns whether there was room for another.
    pub async fn create_key(&self, new: NewKey<'_>) -> Result<bool> {
        let NewKey { key, reach, scopes, name, lifetime, who } = new;
        let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        let (key_id, hash) = (key.id(), key.hash());
        let created = sqlx::query_scalar("SELECT create_key($1, $2, $3, $4, $5, $6, $7, $8)")
            .bind(reach.as_str())
            .bind(key_id.as_str())
            .bind(&hash.0[..])
            .bind(scopes)
            .bind(name)
            .bind(lifetime.map(micros))
            .bind(who.to_string())
            .bind(KEYS_MAX);
        Ok(created.fetch_one(&mut *self.within(reach).await?).await?)
    }

    /// Revoke a key for good. Returns whether it was not revoked until now; `None`: the namespace has no such key.
    pub async fn revoke_key(&self, reach: &Reach, key_id: KeyId, who: &Who) -> Result<Option<bool>> {
        let revoked = sqlx::query_scalar("SELECT revoke_key($1, $2, $3)")
            .bind(reach.as_str())
            .bind(key_id.as_str())
            .bind(who.to_string());
        Ok(revoked.fetch_one(&mut *self.within(reach).await?).await?)
    }

    /// Keep another key that is good for the same as this one, which ends after `overlap`. Returns whether there was such a
    /// key that still works.
    pub async fn rotate_key(
        &self,
        reach: &Reach,
        key_id: KeyId,
        new: &ApiKey,
        overlap: Duration,
        who: &Who,
    ) -> Result<bool> {
        let (new_id, hash) = (new.id(), new.hash());
        let rotated = sqlx::query_scalar("SELECT rotate_key($1, $2, $3, $4, $5, $6)")
            .bind(reach.as_str())
            .bind(key_id.as_str())
            .bind(new_id.as_str())
            .bind(&hash.0[..])
            .bind(micros(overlap))
            .bind(who.to_string());
        Ok(rotated.fetch_one(&mut *self.within(reach).await?).await?)
    }

    /// The keys of a namespace, or of all: first those that work, of which all are there, then those that have ended; the newest
    /// of each first.
    pub async fn list_keys(&self, reach: &Reach) -> Result<Vec<KeyListing>> {
        let rows: Vec<ListingRow> = sqlx::query_as(
            "SELECT key_id, scopes, name, created_at, created_by, expires_at, last_used_at, revoked_at FROM api_keys \
             WHERE namespace = $1 ORDER BY (revoked_at IS NOT NULL OR coalesce(expires_at <= clock_timestamp(), false)), \
             created_at DESC, key_id LIMIT $2",
        )
        .bind(reach.as_str())
        .bind(KEYS_MAX)
        .fetch_all(&mut *self.within(reach).await?)
        .await?;
        rows.into_iter().map(KeyListing::try_from).collect()
    }

    /// One key of a namespace, or of all; `None` if there is no such.
    pub async fn get_key(&self, reach: &Reach, key_id: KeyId) -> Result<Option<KeyListing>> {
        let row: Option<ListingRow> = sqlx::query_as(
            "SELECT key_id, scopes, name, created_at, created_by, expires_at, last_used_at, revoked_at FROM api_keys \
             WHERE key_id = $1 AND namespace = $2",
        )
        .bind(key_id.as_str())
        .bind(reach.as_str())
        .fetch_optional(&mut *self.within(reach).await?)
        .await?;
        row.map(KeyListing::try_from).transpose()
    }

    /// Whether there is any key.
    pub async fn has_keys(&self) -> Result<bool> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM api_keys)").fetch_one(&self.pool).await?)
    }

    /// These keys were used a moment ago.
    pub async fn note_key_use(&self, key_ids: &[KeyId]) -> Result<()> {
        let key_ids: Vec<_> = key_ids.iter().map(KeyId::as_str).collect();
        sqlx::query("SELECT note_key_use($1)").bind(key_ids).execute(&self.pool).await?;
        Ok(())
    }
}

/// The database's own numbers are signed.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration_us(duration)).unwrap_or(i64::MAX)
}

/// One that a later version knows and this one does not opens nothing here.
fn parsed(scopes: &[String]) -> Vec<Scope> {
    scopes.iter().filter_map(|scope| scope.parse().ok()).collect()
}

fn corrupt(what: &str) -> Error {
    Error::Internal(sqlx::Error::Decode(format!("a key's {what}").into()))
}

impl TryFrom<ListingRow> for KeyListing {
    type Error = Error;

    fn try_from(row: ListingRow) -> Result<Self> {
        Ok(Self {
            key_id: row.key_id.parse().map_err(|_| corrupt("id"))?,
            scopes: parsed(&row.scopes),
            name: row.name,
            created_at: row.created_at.into(),
            created_by: row.created_by,
            expires_at: row.expires_at.map(Into::into),
            last_used_at: row.last_used_at.map(Into::into),
            revoked_at: row.revoked_at.map(Into::into),
        })
    }
}
