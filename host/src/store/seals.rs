//! Payloads that are sealed in the database, and open everywhere else.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use moka::future::Cache;
use uuid::Uuid;

use super::{Error, Result, Store};
use crate::model::{MasterKeys, Namespace, Payload, PayloadKey, SealError, Who, sealed_text, sealed_under};

/// The keys that this host has come across.
pub(super) struct Seals {
    masters: Option<Arc<MasterKeys>>,
    /// Those that payloads were opened with. Data keys never change.
    opening: RwLock<HashMap<Uuid, Arc<PayloadKey>>>,
    /// What to seal with from now on; nothing, for namespaces that do not seal.
    sealing: Cache<Namespace, Option<Arc<PayloadKey>>>,
}

/// How long payloads may still be kept as they were after a namespace was changed.
const KEPT: Duration = Duration::from_millis(500);

const NAMESPACES_MAX: u64 = 10_000;

impl Seals {
    /// With the master keys, if this host has any.
    pub(super) fn new(masters: Option<Arc<MasterKeys>>) -> Arc<Self> {
        let sealing = Cache::builder().max_capacity(NAMESPACES_MAX).time_to_live(KEPT).build();
        Arc::new(Self { masters, opening: RwLock::default(), sealing })
    }

    fn known(&self, key_id: Uuid) -> Option<Arc<PayloadKey>> {
        self.opening.read().unwrap_or_else(PoisonError::into_inner).get(&key_id).cloned()
    }

    fn learn(&self, (namespace, key_id, master_key_id, wrapped): KeyRow) -> Result<Arc<PayloadKey>> {
        if let Some(known) = self.known(key_id) {
            return Ok(known);
        }
        let namespace =
            Namespace::new(&namespace).map_err(|error| Error::Internal(sqlx::Error::Decode(error.into())))?;
        let masters = self.masters.as_ref().ok_or_else(|| SealError::NoMasterKey(master_key_id.clone()))?;
        let key = masters.unwrap(&master_key_id, &namespace, key_id, &wrapped)?;
        let key = Arc::new(PayloadKey::new(&namespace, key));
        self.opening.write().unwrap_or_else(PoisonError::into_inner).insert(key_id, key.clone());
        Ok(key)
    }
}

type KeyRow = (String, Uuid, String, Vec<u8>);

impl Store {
    /// The same, with the master keys of this host: it can seal payloads, and open those that are sealed.
    pub fn with_master_keys(mut self, masters: Option<Arc<MasterKeys>>) -> Self {
        self.seals = Seals::new(masters);
        self
    }

    /// Seal the payloads of a namespace that are kept from now on, or no longer. It has a data key.
    pub async fn seal_payloads(&self, namespace: &Namespace, seal: bool, who: &Who) -> Result<()> {
        let sealed =
            sqlx::query("SELECT seal_payloads($1, $2, $3)").bind(&**namespace).bind(seal).bind(who.to_string());
        sealed.execute(&self.pool).await?;
        self.seals.sealing.invalidate(namespace).await;
        Ok(())
    }

    /// The key that the payloads of a namespace are to be sealed under; `None`: they are not.
    pub async fn payload_key(&self, namespace: &Namespace) -> Result<Option<Arc<PayloadKey>>> {
        // Rarely done, and large: apart from whoever asks.
        let load = Box::pin(async {
            let row: Option<KeyRow> = sqlx::query_as(
                "SELECT k.namespace, k.key_id, k.master_key_id, k.wrapped FROM namespaces n JOIN data_keys k USING (namespace) \
                 WHERE n.namespace = $1 AND n.seal_payloads AND k.is_current",
            )
            .bind(&**namespace)
            .fetch_optional(&self.pool)
            .await?;
            row.map(|row| self.seals.learn(row)).transpose()
        });
        self.seals.sealing.try_get_with_by_ref(namespace, load).await.map_err(|error: Arc<Error>| error.again())
    }

    /// The id of a master key that payloads are sealed under and that is not among these.
    pub async fn missing_master_key(&self, masters: Option<&MasterKeys>) -> Result<Option<String>> {
        let ids: Vec<String> = sqlx::query_scalar("SELECT DISTINCT master_key_id FROM data_keys WHERE opens_payloads")
            .fetch_all(&self.pool)
            .await?;
        Ok(ids.into_iter().find(|id| !masters.is_some_and(|masters| masters.has(id))))
    }

    /// A payload as the database is to keep it.
    pub(super) async fn sealed(&self, namespace: &Namespace, payload: &Payload) -> Result<Vec<u8>> {
        seal(self.payload_key(namespace).await?.as_deref(), payload.as_bytes())
    }

    /// Open these payloads of a namespace where they stand.
    pub(super) async fn open(&self, namespace: &str, sealed: Vec<(Uuid, &mut Vec<u8>)>) -> Result<()> {
        for (key_id, payload) in sealed {
            let key = match self.seals.known(key_id) {
                Some(known) => known,
                None => Box::pin(self.fetch_key(key_id)).await?,
            };
            // Whoever has come by what another has sealed does not get it opened by putting it among its own.
            if !key.is_of(namespace) {
                return Err(SealError::NotAuthentic.into());
            }
            *payload = key.open(payload)?;
        }
        Ok(())
    }

    /// Open these texts of a namespace where they stand, if they are sealed.
    pub(super) async fn open_texts(&self, namespace: &str, texts: Vec<&mut String>) -> Result<()> {
        for text in texts {
            let Some(mut opened) = sealed_text(text) else { continue };
            self.open(namespace, sealed_among([&mut opened])).await?;
            *text = String::from_utf8(opened).map_err(|_| SealError::NotAuthentic)?;
        }
        Ok(())
    }

    async fn fetch_key(&self, key_id: Uuid) -> Result<Arc<PayloadKey>> {
        let row: Option<KeyRow> =
            sqlx::query_as("SELECT namespace, key_id, master_key_id, wrapped FROM data_keys WHERE key_id = $1")
                .bind(key_id)
                .fetch_optional(&self.pool)
                .await?;
        self.seals.learn(row.ok_or(SealError::NotAuthentic)?)
    }
}

/// Those of these payloads that are sealed, with the keys that they are sealed under.
pub(super) fn sealed_among<'a>(payloads: impl IntoIterator<Item = &'a mut Vec<u8>>) -> Vec<(Uuid, &'a mut Vec<u8>)> {
    payloads.into_iter().filter_map(|payload| Some((sealed_under(payload)?, payload))).collect()
}

/// Bytes as the database is to keep them.
pub(super) fn seal(key: Option<&PayloadKey>, payload: &[u8]) -> Result<Vec<u8>> {
    Ok(match key {
        Some(key) => key.seal(payload)?,
        None => payload.to_vec(),
    })
}

impl fmt::Debug for Seals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seals").field("masters", &self.masters).finish_non_exhaustive()
    }
}
