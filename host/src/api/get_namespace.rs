//! `GET /v1/namespaces/{namespace}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::extract::Path;
use super::view::NamespaceView;
use crate::model::Namespace;
use crate::worker::Host;

/// A namespace, with what it may use.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}",
    tag = "namespaces",
    params(("namespace" = String, Path)),
    responses(
        (status = 200, body = NamespaceView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-namespace"),
    )
)]
pub(super) async fn get_namespace(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
) -> Result<Json<NamespaceView>, Problem> {
    Ok(Json(NamespaceView::new(host.get_namespace(&namespace).await?, host.default_limits())))
}
