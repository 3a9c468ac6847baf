//! `GET /v1/namespaces`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use super::extract::Query;
use super::view::NamespaceView;
use crate::worker::Host;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// How many at most, up to 200.
    #[serde(default = "limit_default")]
    #[param(default = 50)]
    limit: u32,
    /// `next` of the page before.
    #[serde(default)]
    cursor: String,
}

const LIMIT_MAX: u32 = 200;

fn limit_default() -> u32 {
    50
}

/// A page of namespaces.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NamespacePage {
    /// By name.
    pub namespaces: Vec<NamespaceView>,
    /// The cursor of the next page; none after the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// All namespaces, by name.
#[utoipa::path(
    get,
    path = "/v1/namespaces",
    tag = "namespaces",
    params(Parameters),
    responses((status = 200, body = NamespacePage))
)]
pub(super) async fn list_namespaces(
    State(host): State<Arc<Host>>,
    Query(parameters): Query<Parameters>,
) -> Result<Json<NamespacePage>, Problem> {
    let limit = parameters.limit.clamp(1, LIMIT_MAX);
    // One more than asked tells whether there is another page.
    let mut namespaces = host.store.list_namespaces(&parameters.cursor, limit + 1).await?;
    let more = namespaces.len() > limit as usize;
    namespaces.truncate(limit as usize);
    let next = namespaces.last().filter(|_| more).map(|namespace| namespace.namespace.clone());
    let view = |namespace| NamespaceView::new(namespace, host.default_limits());
    Ok(Json(NamespacePage { namespaces: namespaces.into_iter().map(view).collect(), next }))
}
