//! Secrets and the keys that they are sealed under, as the database keeps them: it can open none.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Error, Result, Store};
use crate::model::{Name, Namespace, SecretBinding, Timestamp, Who};

/// A data key, wrapped.
#[derive(Clone, Debug)]
pub struct WrappedKey {
    /// Whose.
    pub namespace: Namespace,
    /// Which.
    pub key_id: Uuid,
    /// The master key that it is wrapped under.
    pub master_key_id: String,
    /// The key.
    pub wrapped: Vec<u8>,
}

/// A secret, sealed.
#[derive(Clone, Debug)]
pub struct SealedSecret {
    /// Its name.
    pub name: Name,
    /// Where it may be put.
    pub binding: SecretBinding,
    /// The value.
    pub sealed: Vec<u8>,
    /// What it is sealed under.
    pub key: WrappedKey,
}

/// What may be told of a secret.
#[derive(Clone, Debug)]
pub struct SecretListing {
    /// Its name.
    pub name: Name,
    /// Where it may be put.
    pub binding: SecretBinding,
    /// When it was first set.
    pub created_at: Timestamp,
    /// When its value or its binding was last set.
    pub updated_at: Timestamp,
}

type ListingRow = (String, Vec<String>, String, DateTime<Utc>, DateTime<Utc>);
type KeyRow = (String, Uuid, String, Vec<u8>);
type SecretRow = (String, Vec<String>, String, Vec<u8>, String, Uuid, String, Vec<u8>);

impl Store {
    /// The current data key of a namespace; `new` becomes it if there is none.
    pub async fn keep_data_key(&self, new: &WrappedKey) -> Result<WrappedKey> {
        let row: KeyRow =
            sqlx::query_as("SELECT namespace, key_id, master_key_id, wrapped FROM keep_data_key($1, $2, $3, $4)")
                .bind(&*new.namespace)
                .bind(new.key_id)
                .bind(&new.master_key_id)
                .bind(&new.wrapped)
                .fetch_one(&mut *self.tenant(&new.namespace).await?)
                .await?;
        key(row)
    }

    /// The current data key of a namespace, if it has one.
    pub async fn data_key(&self, namespace: &Namespace) -> Result<Option<WrappedKey>> {
        let row: Option<KeyRow> = sqlx::query_as(
            "SELECT namespace, key_id, master_key_id, wrapped FROM data_keys WHERE namespace = $1 AND is_current",
        )
        .bind(&**namespace)
        .fetch_optional(&mut *self.tenant(namespace).await?)
        .await?;
        row.map(key).transpose()
    }

    /// All data keys of all namespaces.
    pub async fn data_keys(&self) -> Result<Vec<WrappedKey>> {
        let rows: Vec<KeyRow> = sqlx::query_as(
            "SELECT namespace, key_id, master_key_id, wrapped FROM data_keys ORDER BY namespace, key_id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(key).collect()
    }

    /// Keep a data key wrapped anew. Nothing happens if somebody else has done so since it was read under `old_master`.
    pub async fn rewrap_data_key(&self, rewrapped: &WrappedKey, old_master: &str, who: &Who) -> Result<bool> {
        let is_rewrapped = sqlx::query_scalar("SELECT rewrap_data_key($1, $2, $3, $4, $5, $6)")
            .bind(&*rewrapped.namespace)
            .bind(rewrapped.key_id)
            .bind(&rewrapped.master_key_id)
            .bind(&rewrapped.wrapped)
            .bind(old_master)
            .bind(who.to_string())
            .fetch_one(&self.pool)
            .await?;
        Ok(is_rewrapped)
    }

    /// Make a new data key the current one of its namespace.
    pub async fn rotate_data_key(&self, new: &WrappedKey, who: &Who) -> Result<()> {
        sqlx::query("SELECT rotate_data_key($1, $2, $3, $4, $5)")
            .bind(&*new.namespace)
            .bind(new.key_id)
            .bind(&new.master_key_id)
            .bind(&new.wrapped)
            .bind(who.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forget the data keys of a namespace that nothing is sealed under any more. Returns how many there were.
    pub async fn forget_data_keys(&self, namespace: &Namespace) -> Result<u64> {
        let forgotten: i64 =
            sqlx::query_scalar("SELECT forget_data_keys($1)").bind(&**namespace).fetch_one(&self.pool).await?;
        Ok(forgotten.unsigned_abs())
    }

    /// Keep a secret, in place of one of this name if there is one. Returns whether it is a new one; `None`, and nothing is
    /// kept, if its data key was forgotten meanwhile.
    pub async fn set_secret(
        &self,
        namespace: &Namespace,
        name: &Name,
        binding: &SecretBinding,
        key_id: Uuid,
        sealed: &[u8],
        who: &Who,
    ) -> Result<Option<bool>> {
        let targets: Vec<_> = binding.targets.iter().map(ToString::to_string).collect();
        let is_new = sqlx::query_scalar("SELECT set_secret($1, $2, $3, $4, $5, $6, $7)")
            .bind(&**namespace)
            .bind(&**name)
            .bind(targets)
            .bind(&binding.header)
            .bind(key_id)
            .bind(sealed)
            .bind(who.to_string())
            .fetch_one(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(is_new)
    }

    /// Keep a secret sealed anew. Nothing happens if it was set since it was read.
    pub async fn reseal_secret(&self, old: &SealedSecret, key_id: Uuid, sealed: &[u8]) -> Result<()> {
        sqlx::query("SELECT reseal_secret($1, $2, $3, $4, $5, $6)")
            .bind(&*old.key.namespace)
            .bind(&*old.name)
            .bind(key_id)
            .bind(sealed)
            .bind(old.key.key_id)
            .bind(&old.sealed)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A secret, with the key that it is sealed under; `None` if there is none of this name.
    pub async fn secret(&self, namespace: &Namespace, name: &Name) -> Result<Option<SealedSecret>> {
        Ok(self.sealed_secrets(namespace, Some(name)).await?.pop())
    }

    /// The secrets of a namespace; of this name, if there is a name.
    pub async fn sealed_secrets(&self, namespace: &Namespace, name: Option<&Name>) -> Result<Vec<SealedSecret>> {
        let rows: Vec<SecretRow> = sqlx::query_as(
            "SELECT s.name, s.targets, s.header, s.sealed, k.namespace, k.key_id, k.master_key_id, k.wrapped \
             FROM secrets s JOIN data_keys k USING (namespace, key_id) \
             WHERE s.namespace = $1 AND s.name = coalesce($2, s.name) ORDER BY s.name",
        )
        .bind(&**namespace)
        .bind(name.map(|name| &**name))
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        let secret = |(name, targets, header, sealed, namespace, key_id, master, wrapped): SecretRow| {
            Ok(SealedSecret {
                name: text(&name)?,
                binding: binding(targets, header)?,
                sealed,
                key: key((namespace, key_id, master, wrapped))?,
            })
        };
        rows.into_iter().map(secret).collect()
    }

    /// What may be told of the secrets of a namespace, by name.
    pub async fn list_secrets(&self, namespace: &Namespace) -> Result<Vec<SecretListing>> {
        let rows: Vec<ListingRow> = sqlx::query_as(
            "SELECT name, targets, header, created_at, updated_at FROM secrets WHERE namespace = $1 ORDER BY name",
        )
        .bind(&**namespace)
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        let listing = |(name, targets, header, created_at, updated_at): ListingRow| {
            Ok(SecretListing {
                name: text(&name)?,
                binding: binding(targets, header)?,
                created_at: created_at.into(),
                updated_at: updated_at.into(),
            })
        };
        rows.into_iter().map(listing).collect()
    }

    /// Forget a secret. Returns whether there was one.
    pub async fn delete_secret(&self, namespace: &Namespace, name: &Name, who: &Who) -> Result<bool> {
        let deleted = sqlx::query_scalar("SELECT delete_secret($1, $2, $3)");
        let deleted = deleted.bind(&**namespace).bind(&**name).bind(who.to_string());
        Ok(deleted.fetch_one(&mut *self.tenant(namespace).await?).await?)
    }
}

fn key((namespace, key_id, master_key_id, wrapped): KeyRow) -> Result<WrappedKey> {
    let namespace = Namespace::new(&namespace).map_err(|error| corrupt(error.into()))?;
    Ok(WrappedKey { namespace, key_id, master_key_id, wrapped })
}

fn text(name: &str) -> Result<Name> {
    Name::new(name).map_err(|error| corrupt(error.into()))
}

fn binding(targets: Vec<String>, header: String) -> Result<SecretBinding> {
    let targets = targets.iter().map(|target| target.parse()).collect::<Result<_, crate::model::TargetError>>();
    Ok(SecretBinding { targets: targets.map_err(|error| corrupt(error.into()))?, header })
}

fn corrupt(error: Box<dyn std::error::Error + Send + Sync>) -> Error {
    Error::Internal(sqlx::Error::Decode(error))
}
