//! `POST /v1/namespaces/{namespace}/components/{component}/versions/{version}/use`, `…/deprecate` and `…/undeprecate`, and
//! `DELETE` of a version

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::auth::Caller;
use super::extract::{Json as Body, Path, Query};
use super::list_versions::{Versions, view};
use crate::model::{Name, Namespace};
use crate::worker::Host;

/// Which version new runs are to take.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UseVersion {
    /// Whether they are to do so whatever is deployed later. Else, the next version that is deployed is theirs.
    #[serde(default)]
    pub pin: bool,
}

/// What may become of those that could be tried again.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteVersion {
    /// Even if runs that have failed are on it: nobody can try them again.
    #[serde(default)]
    pub forget_failed: bool,
}

/// Let new runs take a version: the one before, to roll back. Runs that have begun stay on theirs.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/components/{component}/versions/{version}/use",
    tag = "components",
    params(("namespace" = String, Path), ("component" = String, Path), ("version" = u32, Path)),
    request_body = UseVersion,
    responses(
        (status = 200, body = Versions),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-version"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "wrong-state (it is deprecated), workflow-taken"),
    )
)]
pub(super) async fn use_version(
    State(host): State<Arc<Host>>,
    Path((namespace, component, version)): Path<(Namespace, Name, u32)>,
    Caller(who): Caller,
    Body(UseVersion { pin }): Body<UseVersion>,
) -> Result<Json<Versions>, Problem> {
    host.use_version(&namespace, (&component, version), pin, &who).await?;
    view(&host, &namespace, &component).await
}

/// Say that no new run is to take a version.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/components/{component}/versions/{version}/deprecate",
    tag = "components",
    params(("namespace" = String, Path), ("component" = String, Path), ("version" = u32, Path)),
    responses(
        (status = 200, body = Versions),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-version"),
        (status = 409, body = Problem, content_type = "application/problem+json",
         description = "wrong-state: it is the one that new runs take, or deprecated already"),
    )
)]
pub(super) async fn deprecate_version(
    State(host): State<Arc<Host>>,
    Path((namespace, component, version)): Path<(Namespace, Name, u32)>,
    Caller(who): Caller,
) -> Result<Json<Versions>, Problem> {
    host.store.deprecate_version(&namespace, (&component, version), true, &who).await?;
    view(&host, &namespace, &component).await
}

/// Take that back.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/components/{component}/versions/{version}/undeprecate",
    tag = "components",
    params(("namespace" = String, Path), ("component" = String, Path), ("version" = u32, Path)),
    responses(
        (status = 200, body = Versions),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-version"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "wrong-state"),
    )
)]
pub(super) async fn undeprecate_version(
    State(host): State<Arc<Host>>,
    Path((namespace, component, version)): Path<(Namespace, Name, u32)>,
    Caller(who): Caller,
) -> Result<Json<Versions>, Problem> {
    host.store.deprecate_version(&namespace, (&component, version), false, &who).await?;
    view(&host, &namespace, &component).await
}

/// Forget a version, with its bytes. Refused while a run needs it that is not over, or that has failed and could be tried again; while
/// new runs take it, and for a minute after they did.
#[utoipa::path(
    delete,
    path = "/v1/namespaces/{namespace}/components/{component}/versions/{version}",
    tag = "components",
    params(("namespace" = String, Path), ("component" = String, Path), ("version" = u32, Path), DeleteVersion),
    responses(
        (status = 200, body = Versions),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-version"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "wrong-state: it is needed"),
    )
)]
pub(super) async fn delete_version(
    State(host): State<Arc<Host>>,
    Path((namespace, component, version)): Path<(Namespace, Name, u32)>,
    Query(DeleteVersion { forget_failed }): Query<DeleteVersion>,
    Caller(who): Caller,
) -> Result<Json<Versions>, Problem> {
    host.store.delete_version(&namespace, (&component, version), forget_failed, &who).await?;
    view(&host, &namespace, &component).await
}
