//! The HTTP API: one file for each endpoint, under `/v1/namespaces/{namespace}/…`.
//!
//! A handler takes a request apart, asks the [`Host`], and puts a response together; nothing is decided here.

mod cancel_run;
mod deploy_component;
mod error;
mod extract;
mod follow_run;
mod get_history;
mod get_logs;
mod get_run;
mod get_state;
mod health;
mod list_runs;
mod recorded;
mod send_signal;
mod send_update;
mod start_run;
mod terminate_run;
pub mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::worker::Host;

pub use deploy_component::{Deployed, DeployedStep};
pub use error::{Code, Problem};
pub use get_history::History;
pub use get_logs::Logs;
pub use get_state::{PublishedState, PublishedValue};
pub use list_runs::RunPage;
pub use recorded::{RecordedRun, Unreadable};
pub use send_signal::Accepted;
pub use send_update::UpdateView;
pub use start_run::{StartRun, StartSignal};
pub use terminate_run::Terminate;

#[derive(OpenApi)]
#[openapi(
    info(title = "Windlass", description = "Runs untrusted workflow components durably on Postgres."),
    tags(
        (name = "components", description = "Uploading code."),
        (name = "runs", description = "Starting runs, watching them, and talking to them."),
    )
)]
struct Api;

/// The longest that a request waits for a run.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Bytes of a request's body, where a route does not say otherwise: a payload and what surrounds it.
const BODY_MAX: usize = 2 << 20;

fn routes(component_bytes: usize) -> OpenApiRouter<Arc<Host>> {
    let upload = OpenApiRouter::new().routes(routes!(deploy_component::deploy_component));
    OpenApiRouter::with_openapi(Api::openapi())
        .merge(upload.layer(DefaultBodyLimit::max(component_bytes)))
        .routes(routes!(start_run::start_run, list_runs::list_runs))
        .routes(routes!(get_run::get_run))
        .routes(routes!(get_history::get_history))
        .routes(routes!(get_logs::get_logs))
        .routes(routes!(get_state::get_state))
        .routes(routes!(follow_run::follow_run))
        .routes(routes!(send_signal::send_signal))
        .routes(routes!(send_update::send_update))
        .routes(routes!(cancel_run::cancel_run))
        .routes(routes!(terminate_run::terminate_run))
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

/// All routes, for a host. `component_bytes`: the largest upload.
pub fn router(host: Arc<Host>, component_bytes: usize) -> Router {
    let (api, description) = routes(component_bytes).split_for_parts();
    api.route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/openapi.json", get(move || async move { Json(description) }))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(TraceLayer::new_for_http())
        .with_state(host)
}

/// Serve until the host is to stop; requests that are under way then are answered first.
pub async fn serve(listener: TcpListener, host: Arc<Host>, component_bytes: usize) {
    let stopping = host.stopping().clone();
    // A small answer leaves at once.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection answers in its own time");
        }
    });
    let serving = axum::serve(listener, router(host, component_bytes));
    if let Err(error) = serving.with_graceful_shutdown(async move { stopping.cancelled().await }).await {
        tracing::error!(%error, "the API has ended");
    }
}

/// The description of the API.
pub fn description() -> utoipa::openapi::OpenApi {
    routes(0).split_for_parts().1
}
