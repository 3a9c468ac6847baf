//! `POST /v1/namespaces/{namespace}/recount`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::Problem;
use super::auth::Caller;
use super::extract::Path;
use super::view::NamespaceView;
use crate::model::Namespace;
use crate::worker::Host;

/// Count anew what a namespace keeps. Reads all of it: a namespace that keeps much takes a while.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/recount",
    tag = "namespaces",
    params(("namespace" = String, Path)),
    responses(
        (status = 200, body = NamespaceView),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-namespace"),
    )
)]
pub(super) async fn recount_namespace(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path(namespace): Path<Namespace>,
) -> Result<Json<NamespaceView>, Problem> {
    host.recount_storage(&namespace, &who).await?;
    Ok(Json(NamespaceView::new(host.get_namespace(&namespace).await?, host.default_limits())))
}
