//! `POST /v1/namespaces/{namespace}/components`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Body, Path, Query};
use super::{Code, Problem};
use crate::model::{HostPattern, Name, Namespace};
use crate::worker::Host;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Parameters {
    /// Instead of the name that the component gives itself.
    #[param(value_type = Option<String>)]
    name: Option<Name>,
    /// Hosts that the component's steps may reach if they ask for them, separated by commas. Added to those that were
    /// granted before.
    #[param(example = "api.example.com,127.0.0.1:8080")]
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
}

/// A step of a component that was deployed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DeployedStep {
    /// Its name.
    pub name: String,
    /// The hosts that it asks for.
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
    )
)]
pub(super) async fn deploy_component(
    State(host): State<Arc<Host>>,
    Path(namespace): Path<Namespace>,
    Query(parameters): Query<Parameters>,
    Body(bytes): Body,
) -> Result<Response, Problem> {
    let grants = parameters.grant_http.as_deref().unwrap_or_default();
    let grants: Vec<HostPattern> = grants
        .split(',')
        .filter(|host| !host.is_empty())
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|error| Problem::new(Code::BadRequest, format!("grant_http: {error}")))?;
    let uploaded = host.upload(&namespace, parameters.name, Arc::from(&bytes[..]), &grants).await?;
    let status = if uploaded.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let manifest = uploaded.manifest;
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
    };
    Ok((status, axum::Json(deployed)).into_response())
}
