//! `GET /v1/namespaces/{namespace}/components/{component}/grants`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extract::Path;
use super::{Code, Problem};
use crate::model::{HttpGrant, Manifest, Name, Namespace};
use crate::worker::Host;

/// What a component's steps ask to send, and what they may.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Grants {
    /// The component.
    pub component: String,
    /// What each step of the newest version asks for; steps that ask for nothing are left out.
    pub steps: Vec<StepGrants>,
    /// What the operator has granted, asked for or not.
    pub granted: Vec<String>,
    /// What is asked for and nothing of which is granted.
    pub not_granted: Vec<String>,
}

/// What a step asks to send.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StepGrants {
    /// Its name.
    pub step: String,
    /// A host, or methods, a host and a path: `GET,POST api.example.com/v1/*`.
    pub asked: String,
    /// What was granted of it, or of more than it.
    pub granted: Vec<String>,
}

/// What a component's steps ask to send, and what was granted to them.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/components/{component}/grants",
    tag = "components",
    params(("namespace" = String, Path), ("component" = String, Path)),
    responses(
        (status = 200, body = Grants),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-component"),
    )
)]
pub(super) async fn get_grants(
    State(host): State<Arc<Host>>,
    Path((namespace, component)): Path<(Namespace, Name)>,
) -> Result<Json<Grants>, Problem> {
    Ok(Json(view(&host, &namespace, &component).await?))
}

/// As it stands now.
pub(super) async fn view(host: &Host, namespace: &Namespace, component: &Name) -> Result<Grants, Problem> {
    let manifest = manifest(host, namespace, component).await?;
    let granted = host.store.grants(namespace, component).await?;
    let asked = manifest.steps.iter().flat_map(|step| step.http.iter().map(|asked| (&step.name, asked)));
    let steps = asked.map(|(step, asked)| {
        let granted = granted.iter().filter(|granted| touches(granted, asked)).map(ToString::to_string);
        StepGrants { step: step.to_string(), asked: asked.to_string(), granted: granted.collect() }
    });
    Ok(Grants {
        component: component.to_string(),
        steps: steps.collect(),
        not_granted: not_granted(&manifest, &granted),
        granted: granted.iter().map(ToString::to_string).collect(),
    })
}

/// What the newest version of a component says that it holds.
pub(super) async fn manifest(host: &Host, namespace: &Namespace, component: &Name) -> Result<Manifest, Problem> {
    let manifest = host.store.newest_manifest(namespace, component).await?;
    manifest.ok_or_else(|| Problem::new(Code::NoSuchComponent, "check its name, and the namespace in the address"))
}

/// What steps ask for and nothing of which was granted, each once.
pub(super) fn not_granted(manifest: &Manifest, granted: &[HttpGrant]) -> Vec<String> {
    let asked = manifest.steps.iter().flat_map(|step| step.http.iter());
    let missing = asked.filter(|asked| !granted.iter().any(|granted| touches(granted, asked)));
    let mut missing: Vec<_> = missing.map(ToString::to_string).collect();
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// Whether a grant was given with this wish in mind: it may be wider, or narrower.
fn touches(granted: &HttpGrant, asked: &HttpGrant) -> bool {
    granted.includes(asked) || asked.includes(granted)
}
