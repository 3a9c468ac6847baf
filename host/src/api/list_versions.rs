//! `GET /v1/namespaces/{namespace}/components/{component}/versions`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Path;
use super::{Code, Problem};
use crate::model::{Name, Namespace, Timestamp};
use crate::store::{LIVE_MAX, VersionListing};
use crate::worker::Host;

/// The versions of a component.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Versions {
    /// The component.
    pub component: String,
    /// The newest first.
    pub versions: Vec<VersionView>,
}

/// A version of a component.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// 1, 2, ….
    pub version: u32,
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    /// When it was uploaded.
    #[schema(value_type = String, format = DateTime)]
    pub deployed_at: Timestamp,
    /// Since when no new run is to take it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deprecated_at: Option<Timestamp>,
    /// Whether new runs take it.
    pub is_current: bool,
    /// Whether they do so whatever is deployed.
    pub is_pinned: bool,
    /// Runs of it that are not over. Counted up to 10,000.
    pub live: u64,
    /// Whether there may be more.
    pub live_is_bound: bool,
    /// The version of the WIT package `windlass:workflow` that it was built for.
    pub contract: String,
}

impl From<VersionListing> for VersionView {
    fn from(listing: VersionListing) -> Self {
        Self {
            version: listing.version,
            digest: listing.digest,
            deployed_at: listing.deployed_at,
            deprecated_at: listing.deprecated_at,
            is_current: listing.is_current,
            is_pinned: listing.is_pinned,
            live: listing.live,
            live_is_bound: listing.live >= u64::from(LIVE_MAX),
            contract: listing.contract,
        }
    }
}

/// The versions of a component, and how many runs need each.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/components/{component}/versions",
    tag = "components",
    params(("namespace" = String, Path), ("component" = String, Path)),
    responses(
        (status = 200, body = Versions),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-component"),
    )
)]
pub(super) async fn list_versions(
    State(host): State<Arc<Host>>,
    Path((namespace, component)): Path<(Namespace, Name)>,
) -> Result<Json<Versions>, Problem> {
    view(&host, &namespace, &component).await
}

/// As they stand now.
pub(super) async fn view(host: &Host, namespace: &Namespace, component: &Name) -> Result<Json<Versions>, Problem> {
    let versions = host.list_versions(namespace, component).await?;
    if versions.is_empty() {
        return Err(Problem::new(Code::NoSuchComponent, "check its name, and the namespace in the address"));
    }
    Ok(Json(Versions { component: component.to_string(), versions: versions.into_iter().map(Into::into).collect() }))
}
