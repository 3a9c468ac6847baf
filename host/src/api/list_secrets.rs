//! `GET /v1/namespaces/{namespace}/secrets`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Problem;
use super::extract::Path;
use crate::model::{Namespace, Timestamp};
use crate::store::SecretListing;
use crate::worker::Host;

/// The secrets of a namespace, without their values.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Secrets {
    /// By name.
    pub secrets: Vec<SecretView>,
}

/// What may be told of a secret.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// Where it may be sent.
    #[serde(rename = "for")]
    pub targets: Vec<String>,
    /// The header that it may be put into.
    pub header: String,
    /// When it was first set.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last set.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// The secrets of a namespace. Their values are not shown.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/secrets",
    tag = "secrets",
    params(("namespace" = String, Path)),
    responses((status = 200, body = Secrets))
)]
pub(super) async fn list_secrets(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
) -> Result<Json<Secrets>, Problem> {
    let secrets = host.store.list_secrets(&namespace).await?;
    Ok(Json(Secrets { secrets: secrets.into_iter().map(Into::into).collect() }))
}

impl From<SecretListing> for SecretView {
    fn from(secret: SecretListing) -> Self {
        Self {
            name: secret.name.to_string(),
            targets: secret.binding.targets.iter().map(ToString::to_string).collect(),
            header: secret.binding.header,
            created_at: secret.created_at,
            updated_at: secret.updated_at,
        }
    }
}
