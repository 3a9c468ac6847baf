//! What operators let components send.

use super::{Error, Result, Store};
use crate::model::{HttpGrant, Manifest, Name, Namespace, Who};

impl Store {
    /// The requests that a component's steps may send if they ask for them.
    pub async fn grants(&self, namespace: &Namespace, component: &Name) -> Result<Vec<HttpGrant>> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT http_grant FROM grants WHERE namespace = $1 AND component = $2 ORDER BY http_grant",
        )
        .bind(&**namespace)
        .bind(&**component)
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        // Each was a grant when it was granted.
        Ok(rows.iter().filter_map(|grant| grant.parse().ok()).collect())
    }

    /// Grant these as well. Those that were granted before stay.
    pub async fn add_grants(
        &self,
        namespace: &Namespace,
        component: &Name,
        grants: &[HttpGrant],
        who: &Who,
    ) -> Result<()> {
        sqlx::query("SELECT add_grants($1, $2, $3, $4)")
            .bind(&**namespace)
            .bind(&**component)
            .bind(texts(grants))
            .bind(who.to_string())
            .execute(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(())
    }

    /// Take these back, exactly as they were granted. Returns how many of them there were.
    pub async fn remove_grants(
        &self,
        namespace: &Namespace,
        component: &Name,
        grants: &[HttpGrant],
        who: &Who,
    ) -> Result<u64> {
        let removed: i64 = sqlx::query_scalar("SELECT remove_grants($1, $2, $3, $4)")
            .bind(&**namespace)
            .bind(&**component)
            .bind(texts(grants))
            .bind(who.to_string())
            .fetch_one(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(removed.unsigned_abs())
    }

    /// What the newest version of a component says that it holds; `None` if there is no such component.
    pub async fn newest_manifest(&self, namespace: &Namespace, component: &Name) -> Result<Option<Manifest>> {
        let row: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT manifest FROM versions WHERE namespace = $1 AND component = $2 ORDER BY version DESC LIMIT 1",
        )
        .bind(&**namespace)
        .bind(&**component)
        .fetch_optional(&mut *self.tenant(namespace).await?)
        .await?;
        let corrupt = |error: serde_json::Error| Error::Internal(sqlx::Error::Decode(error.into()));
        row.map(|manifest| serde_json::from_slice(&manifest).map_err(corrupt)).transpose()
    }
}

fn texts(grants: &[HttpGrant]) -> Vec<String> {
    grants.iter().map(ToString::to_string).collect()
}
