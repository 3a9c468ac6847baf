//! `PUT` and `DELETE /v1/namespaces/{namespace}/components/{component}/grants`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::auth::Caller;
use super::extract::{Path, Query};
use super::{Code, Grants, Problem, get_grants};
use crate::model::{HttpGrant, Name, Namespace};
use crate::worker::Host;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Requests, separated by commas: a host, or methods, a host and a path.
    #[param(example = "GET,POST api.example.com/v1/*")]
    http: String,
}

impl Parameters {
    fn grants(&self) -> Result<Vec<HttpGrant>, Problem> {
        let grants = HttpGrant::parse_list(&self.http);
        let grants = grants.map_err(|error| Problem::new(Code::BadRequest, format!("http: {error}")))?;
        if grants.is_empty() {
            return Err(Problem::new(Code::BadRequest, "http: it names no grant; write `api.example.com`"));
        }
        Ok(grants)
    }
}

/// Let a component's steps send these requests if they ask for them. What was granted before stays granted.
#[utoipa::path(
    put,
    path = "/v1/namespaces/{namespace}/components/{component}/grants",
    tag = "components",
    params(("namespace" = String, Path), ("component" = String, Path), Parameters),
    responses(
        (status = 200, body = Grants),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-component"),
    )
)]
pub(super) async fn add_grants(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path((namespace, component)): Path<(Namespace, Name)>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<Grants>, Problem> {
    let grants = parameters.grants()?;
    get_grants::manifest(&host, &namespace, &component).await?;
    host.store.add_grants(&namespace, &component, &grants, &who).await?;
    host.forget_grants(&namespace, &component).await;
    Ok(Json(get_grants::view(&host, &namespace, &component).await?))
}

/// Take grants back, exactly as they were given. Requests that are under way end as they do; after a second no host sends
/// another.
#[utoipa::path(
    delete,
    path = "/v1/namespaces/{namespace}/components/{component}/grants",
    tag = "components",
    params(("namespace" = String, Path), ("component" = String, Path), Parameters),
    responses(
        (status = 200, body = Grants),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-component, no-such-grant"),
    )
)]
pub(super) async fn remove_grants(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path((namespace, component)): Path<(Namespace, Name)>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<Grants>, Problem> {
    let grants = parameters.grants()?;
    get_grants::manifest(&host, &namespace, &component).await?;
    let removed = host.store.remove_grants(&namespace, &component, &grants, &who).await?;
    host.forget_grants(&namespace, &component).await;
    if removed == 0 {
        let detail = "nothing of the kind was granted; `windlass grants` shows what was, and a grant is taken back as it was given";
        return Err(Problem::new(Code::NoSuchGrant, detail));
    }
    Ok(Json(get_grants::view(&host, &namespace, &component).await?))
}
