//! `POST /v1/namespaces/{namespace}/components`

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Caller;
use super::extract::{Path, Query, read_upload};
use super::{Code, Problem, get_grants};
use crate::model::{HttpGrant, Name, Namespace};
use crate::worker::Host;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Instead of the name that the component gives itself.
    #[param(value_type = Option<String>)]
    name: Option<Name>,
    /// Requests that the component's steps may send if they ask for them, separated by commas. Added to those that were
    /// granted before.
    #[param(example = "GET,POST api.example.com/v1/*,127.0.0.1:8080")]
    grant_http: Option<String>,
}

/// A component that was deployed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Deployed {
    /// Its name.
    pub component: String,
    /// Its version: new runs take it.
    pub version: u32,
    /// Whether the version is a new one; if not, the newest had the same bytes.
    pub is_new: bool,
    /// The workflows in it.
    pub workflows: Vec<String>,
    /// The steps in it.
    pub steps: Vec<DeployedStep>,
    /// What its steps ask for and nothing of which is granted.
    pub not_granted: Vec<String>,
}

/// A step of a component that was deployed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeployedStep {
    /// Its name.
    pub name: String,
    /// The requests that it asks to send.
    pub http: Vec<String>,
}

/// Upload a component: the bytes of a `.wasm` file.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/components",
    tag = "components",
    params(("namespace" = String, Path), Parameters),
    request_body(content_type = "application/wasm", content = Vec<u8>),
    responses(
        (status = 201, body = Deployed, description = "A new version"),
        (status = 200, body = Deployed, description = "The newest version has the same bytes"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-namespace"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "workflow-taken"),
        (status = 413, body = Problem, content_type = "application/problem+json", description = "too-large"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "Not accepted; the code names the stage of the inspection"),
        (status = 507, body = Problem, content_type = "application/problem+json", description = "storage-full"),
    )
)]
pub(super) async fn deploy_component(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Query(parameters): Query<Parameters>,
    Caller(who): Caller,
    request: Request,
) -> Result<Response, Problem> {
    let grants = parameters.grant_http.as_deref().unwrap_or_default();
    let grants = HttpGrant::parse_list(grants);
    let grants = grants.map_err(|error| Problem::new(Code::BadRequest, format!("grant_http: {error}")))?;
    // Before the bytes: what waits has nothing in memory.
    let _place = host.upload_place(&namespace).await?;
    let bytes = read_upload(request, host.component_bytes()).await?;
    let uploaded = host.upload(&namespace, parameters.name, bytes, &grants, &who).await?;
    let status = if uploaded.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let manifest = uploaded.manifest;
    let granted = host.store.grants(&namespace, &uploaded.component).await?;
    let not_granted = get_grants::not_granted(&manifest, &granted);
    let step = |step: crate::model::StepDeclaration| DeployedStep {
        name: step.name.to_string(),
        http: step.http.iter().map(ToString::to_string).collect(),
    };
    let deployed = Deployed {
        component: uploaded.component.to_string(),
        version: uploaded.version,
        is_new: uploaded.is_new,
        workflows: manifest.workflows.iter().map(|workflow| workflow.name.to_string()).collect(),
        steps: manifest.steps.into_iter().map(step).collect(),
        not_granted,
    };
    Ok((status, axum::Json(deployed)).into_response())
}
