//! `PUT /v1/namespaces/{namespace}/secrets/{name}`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::auth::Caller;
use super::extract::{Body, Path};
use super::{Code, Problem};
use crate::model::{Name, Namespace, SecretBinding, SecretValue, Target};
use crate::worker::Host;

/// A secret to be set. Its value is not shown, not even for debugging.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetSecret {
    /// 8 to 4,096 bytes of plain ASCII, on one line.
    #[schema(value_type = String, write_only)]
    value: Zeroizing<String>,
    /// Where it may be sent: a scheme, a host and a port. `https`, or `http` to a loopback address.
    #[serde(rename = "for")]
    #[schema(value_type = Vec<String>, example = json!(["https://api.example.com"]))]
    targets: Vec<Target>,
    /// The header that it may be put into.
    #[schema(example = "authorization")]
    header: String,
}

/// A secret that was set.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SecretSet {
    /// Its name.
    pub name: String,
    /// Whether there was none of this name before.
    pub is_new: bool,
    /// What a step writes into the header.
    pub placeholder: String,
}

/// Set a secret, or change it. Nobody can read it from here again.
#[utoipa::path(
    put,
    path = "/v1/namespaces/{namespace}/secrets/{name}",
    tag = "secrets",
    params(("namespace" = String, Path), ("name" = String, Path)),
    request_body = SetSecret,
    responses(
        (status = 200, body = SecretSet),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-namespace"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "no-master-key"),
    )
)]
pub(super) async fn set_secret(
    State(host): State<Arc<Host>>,
    Caller(who): Caller,
    Path((namespace, name)): Path<(Namespace, Name)>,
    Body(bytes): Body,
) -> Result<Json<SecretSet>, Problem> {
    // What is wrong is said with its place only: the words of the parser, and of whoever logs them, could hold the value.
    let set: SetSecret = serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let detail = format!(
            "in the body, at line {line}, column {column}: it is {{\"value\": …, \"for\": [\"https://…\"], \"header\": …}}"
        );
        Problem::new(Code::BadRequest, detail)
    })?;
    let invalid = |error: &dyn std::error::Error| Problem::new(Code::BadRequest, error.to_string());
    let binding = SecretBinding::new(set.targets, &set.header).map_err(|error| invalid(&error))?;
    let value = SecretValue::new(Zeroizing::new(set.value.as_bytes().to_vec())).map_err(|error| invalid(&error))?;
    let is_new = host.secrets.set(&namespace, &name, &binding, &value, &who).await?;
    let placeholder = format!("{{{{secret:{name}}}}}");
    Ok(Json(SecretSet { name: name.to_string(), is_new, placeholder }))
}
