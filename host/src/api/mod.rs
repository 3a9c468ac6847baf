//! The HTTP API: one file for each endpoint, under `/v1/namespaces/{namespace}/…`.
//!
//! A handler takes a request apart, asks the [`Host`], and puts a response together; nothing is decided here.

mod admission;
mod auth;
mod backfill_schedule;
mod cancel_run;
mod change_grants;
mod change_version;
mod count_runs;
mod create_key;
mod delete_schedule;
mod delete_secret;
mod deploy_component;
mod error;
mod extract;
mod follow_run;
mod fork_run;
mod get_audit;
mod get_grants;
mod get_history;
mod get_logs;
mod get_namespace;
mod get_retention;
mod get_run;
mod get_schedule;
mod get_state;
mod health;
mod keeping;
mod limits;
mod list_keys;
mod list_namespaces;
mod list_rewinds;
mod list_runs;
mod list_schedules;
mod list_secrets;
mod list_versions;
mod metrics;
mod migrate_run;
mod pace;
mod pause_run;
mod pause_schedule;
mod pause_workflow;
mod put_namespace;
mod put_schedule;
mod queue_depths;
mod rate_limit;
mod recorded;
mod recount_namespace;
mod resume_schedule;
mod revoke_key;
mod rewind_run;
mod rotate_key;
mod run_context;
mod run_filter;
mod schedules;
mod send_signal;
mod send_update;
mod serve;
mod set_concurrency;
mod set_rate_limit;
mod set_secret;
mod slow_body;
mod start_run;
mod step_readiness;
mod system_metrics;
mod terminate_run;
mod tls;
mod trigger_schedule;
pub mod view;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;
use utoipa::OpenApi;
use utoipa_axum::routes;

use crate::model::Scope;
use crate::worker::Host;
use admission::Admission;
use auth::{Inside, Routes};

pub use backfill_schedule::{Backfill, Backfilled};
pub use change_version::{DeleteVersion, UseVersion};
pub use count_runs::RunCountView;
pub use create_key::{CreateKey, CreatedKey};
pub use deploy_component::{Deployed, DeployedStep};
pub use error::{Code, Problem};
pub use extract::Wait;
pub use fork_run::ForkRun;
pub use get_audit::{AuditHeadView, AuditPage, AuditView};
pub use get_grants::{Grants, StepGrants};
pub use get_history::History;
pub use get_logs::Logs;
pub use get_retention::{RetentionAge, RetentionView};
pub use get_state::{PublishedState, PublishedValue};
pub use limits::{ApiLimits, Rate};
pub use list_keys::{KeyView, Keys};
pub use list_namespaces::NamespacePage;
pub use list_rewinds::{RewindView, Rewinds};
pub use list_runs::{NoCursor, RunCursor, RunPage};
pub use list_schedules::SchedulePage;
pub use list_secrets::{SecretView, Secrets};
pub use list_versions::{VersionView, Versions};
pub use migrate_run::{MigrateRun, Migrated};
pub use pause_workflow::{PauseView, Paused, Pauses, Resumed};
pub use put_namespace::{LimitValue, PutNamespace};
pub use put_schedule::PutSchedule;
pub use queue_depths::{QueueView, Queues};
pub use rate_limit::{RateLimiter, RetryAfter, Who};
pub use recorded::{RecordedRun, Unreadable};
pub use rewind_run::{RewindRun, Rewound};
pub use rotate_key::RotateKey;
pub use run_context::{ContextView, Contexts, StepCountsView};
pub use schedules::{ScheduleView, TickView};
pub use send_signal::Accepted;
pub use send_update::UpdateView;
pub use serve::{Entrance, Peer};
pub use set_concurrency::{ConcurrencyLimits, ConcurrencyView, SetConcurrency, SetNamespaceConcurrency};
pub use set_rate_limit::{RateLimitView, RateLimits, SetRateLimit};
pub use set_secret::SecretSet;
pub use start_run::{StartRun, StartSignal};
pub use step_readiness::{RunIds, StepView, Steps};
pub use system_metrics::SystemMetrics;
pub use terminate_run::Terminate;
pub use tls::{Certificate, CertificateError};
pub use trigger_schedule::Triggered;

#[derive(OpenApi)]
#[openapi(
    info(title = "Windlass", description = "Runs untrusted workflow components durably on Postgres."),
    tags(
        (name = "audit", description = "Who changed what."),
        (name = "components", description = "Uploading code."),
        (name = "keys", description = "Who may do what."),
        (name = "namespaces", description = "Tenants, and what they may use."),
        (name = "schedules", description = "Starting runs again and again."),
        (name = "secrets", description = "Values that the host puts into outgoing requests."),
        (name = "runs", description = "Starting runs, watching them, and talking to them."),
        (name = "workflows", description = "All runs of a workflow."),
    )
)]
struct Api;

/// The longest that a request waits for a run.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Bytes of a request's body, where a route does not say otherwise: a payload and what surrounds it.
const BODY_MAX: usize = 2 << 20;

/// Every route, with the scope that opens it. None without: see [`Routes`].
fn routes(inside: Option<Inside>, component_bytes: usize) -> Routes {
    Routes::new(Api::openapi(), inside)
        .add_with_body(Scope::Deploy, component_bytes, routes!(deploy_component::deploy_component))
        .add(Scope::Read, routes!(get_grants::get_grants))
        .add(Scope::Operate, routes!(change_grants::add_grants, change_grants::remove_grants))
        .add(Scope::Read, routes!(list_versions::list_versions))
        .add(Scope::Deploy, routes!(change_version::use_version))
        .add(Scope::Deploy, routes!(change_version::deprecate_version))
        .add(Scope::Deploy, routes!(change_version::undeprecate_version))
        .add(Scope::Deploy, routes!(change_version::delete_version))
        .add(Scope::Operate, routes!(list_secrets::list_secrets))
        .add(Scope::Operate, routes!(set_secret::set_secret, delete_secret::delete_secret))
        .add(Scope::Start, routes!(start_run::start_run))
        .add(Scope::Read, routes!(list_runs::list_runs))
        .add(Scope::Read, routes!(count_runs::count_runs))
        .add(Scope::Read, routes!(run_context::run_context))
        .add(Scope::Read, routes!(step_readiness::step_readiness))
        .add(Scope::Read, routes!(queue_depths::queue_depths))
        .add(Scope::Read, routes!(system_metrics::system_metrics))
        .add(Scope::Read, routes!(get_run::get_run))
        .add(Scope::Read, routes!(get_history::get_history))
        .add(Scope::Read, routes!(get_logs::get_logs))
        .add(Scope::Read, routes!(get_state::get_state))
        .add(Scope::Read, routes!(follow_run::follow_run))
        .add(Scope::Signal, routes!(send_signal::send_signal))
        .add(Scope::Signal, routes!(send_update::send_update))
        .add(Scope::Operate, routes!(cancel_run::cancel_run))
        .add(Scope::Operate, routes!(terminate_run::terminate_run))
        .add(Scope::Operate, routes!(migrate_run::migrate_run))
        .add(Scope::Operate, routes!(pause_run::pause_run))
        .add(Scope::Operate, routes!(pause_run::resume_run))
        .add(Scope::Operate, routes!(pause_run::retry_run))
        .add(Scope::Operate, routes!(rewind_run::rewind_run))
        .add(Scope::Operate, routes!(fork_run::fork_run))
        .add(Scope::Read, routes!(list_rewinds::list_rewinds))
        .add(Scope::Operate, routes!(pause_workflow::pause_workflow))
        .add(Scope::Operate, routes!(pause_workflow::resume_workflow))
        .add(Scope::Operate, routes!(pause_workflow::pause_namespace))
        .add(Scope::Operate, routes!(pause_workflow::resume_namespace))
        .add(Scope::Read, routes!(pause_workflow::list_pauses))
        .add(Scope::Operate, routes!(set_concurrency::set_concurrency))
        .add(Scope::Read, routes!(set_concurrency::list_concurrency))
        .add_for_all(Scope::Admin, routes!(set_concurrency::set_namespace_concurrency))
        .add(Scope::Operate, routes!(set_rate_limit::set_rate_limit, set_rate_limit::unset_rate_limit))
        .add(Scope::Read, routes!(set_rate_limit::list_rate_limits))
        .add(Scope::Read, routes!(list_schedules::list_schedules))
        .add(Scope::Read, routes!(get_schedule::get_schedule))
        .add(Scope::Operate, routes!(put_schedule::put_schedule, delete_schedule::delete_schedule))
        .add(Scope::Operate, routes!(pause_schedule::pause_schedule))
        .add(Scope::Operate, routes!(resume_schedule::resume_schedule))
        .add(Scope::Operate, routes!(trigger_schedule::trigger_schedule))
        .add(Scope::Operate, routes!(backfill_schedule::backfill_schedule))
        .add(Scope::Admin, routes!(create_key::create_key, list_keys::list_keys))
        .add(Scope::Admin, routes!(revoke_key::revoke_key))
        .add(Scope::Admin, routes!(rotate_key::rotate_key))
        .add(Scope::Admin, routes!(list_namespaces::list_namespaces))
        .add(Scope::Read, routes!(get_namespace::get_namespace))
        .add_for_all(Scope::Admin, routes!(put_namespace::put_namespace))
        .add_for_all(Scope::Admin, routes!(recount_namespace::recount_namespace))
        .add_for_all(Scope::Admin, routes!(get_retention::get_retention))
        .add(Scope::Admin, routes!(get_audit::get_audit))
}

/// All routes, for a host. `component_bytes`: the largest upload.
fn router(host: Arc<Host>, component_bytes: usize, limits: &ApiLimits) -> Router {
    let inside = Inside { host: host.clone(), admission: Arc::new(Admission::new(limits)) };
    let (api, description) = routes(Some(inside), component_bytes).into_parts();
    // What follows is open to everybody, and is answered however much there is to do: others watch over the process with it.
    api.layer(DefaultBodyLimit::max(BODY_MAX))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(move || async move { Json(description) }))
        .fallback(error::no_such_route)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(TraceLayer::new_for_http())
        .with_state(host)
}

/// Serve until the host is to stop; requests that are under way then are answered first. `component_bytes`: the largest
/// upload.
pub async fn serve(entrance: Entrance, host: Arc<Host>, component_bytes: usize) {
    let stopping = host.stopping().clone();
    let router = router(host, component_bytes, &entrance.limits);
    serve::accept(entrance, router, stopping).await;
}

/// The description of the API.
pub fn description() -> utoipa::openapi::OpenApi {
    routes(None, 0).into_parts().1
}
