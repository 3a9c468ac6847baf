//! `GET /v1/namespaces/{namespace}/keys`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::Path;
use crate::model::{KeyId, Reach, Scope, Timestamp};
use crate::store::KeyListing;
use crate::worker::Host;

/// What is known of a key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct KeyView {
    /// Its id, which is no secret.
    #[schema(value_type = String)]
    pub key_id: KeyId,
    /// The namespace that it reaches; `*` is all.
    #[schema(value_type = String)]
    pub namespace: Reach,
    /// What it is called.
    pub name: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// Who made it: the id of a key, `cli:` and an account, or `dev`.
    pub created_by: String,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to about a minute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
    /// When somebody revoked it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub revoked_at: Option<Timestamp>,
}

impl KeyView {
    pub(super) fn new(reach: &Reach, key: KeyListing) -> Self {
        let KeyListing { key_id, scopes, name, created_at, created_by, expires_at, last_used_at, revoked_at } = key;
        let namespace = reach.clone();
        Self { key_id, namespace, name, scopes, created_at, created_by, expires_at, last_used_at, revoked_at }
    }
}

/// Keys.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Keys {
    /// First those that work, then those that have ended, the newest of each first; 1,000 at most.
    pub keys: Vec<KeyView>,
}

/// The keys of a namespace; for the namespace `*`, those for all of them.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/keys",
    tag = "keys",
    params(("namespace" = String, Path)),
    responses((status = 200, body = Keys))
)]
pub(super) async fn list_keys(State(host): State<Arc<Host>>, Path(reach): Path<Reach>) -> Result<Json<Keys>, Problem> {
    let keys = host.store.list_keys(&reach).await?;
    Ok(Json(Keys { keys: keys.into_iter().map(|key| KeyView::new(&reach, key)).collect() }))
}
