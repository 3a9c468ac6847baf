//! `POST /v1/namespaces/{namespace}/keys`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::auth::Caller;
use super::extract::{Json, Path};
use super::list_keys::KeyView;
use super::{Code, Problem};
use crate::model::{ApiKey, Reach, Scope, Who, duration_from_us, duration_us};
use crate::store::{NewKey, Store};
use crate::worker::Host;

/// A key to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateKey {
    /// What it is called: for people, up to 100 characters.
    pub name: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// How long from now it works: `90d`, `12h`; none is until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    #[schema(value_type = Option<String>, example = "90d")]
    pub lifetime: Option<Duration>,
}

/// A key that was made. Its secret is in this answer and nowhere else.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedKey {
    /// The key itself, to be sent as `Authorization: Bearer wl_…`.
    #[serde(serialize_with = "reveal", deserialize_with = "read")]
    #[schema(value_type = String, example = "wl_<id>_<secret>")]
    pub api_key: ApiKey,
    /// What is known of it.
    #[serde(flatten)]
    pub key: KeyView,
}

fn reveal<S: Serializer>(key: &ApiKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&key.reveal())
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ApiKey, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

/// Make a key for a namespace; for the namespace `*`, one for all of them. Whoever may do this may give every scope, and no
/// other namespace.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/keys",
    tag = "keys",
    params(("namespace" = String, Path)),
    request_body = CreateKey,
    responses(
        (status = 201, body = CreatedKey),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-namespace"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "too-many-api-keys"),
    )
)]
pub(super) async fn create_key(
    State(host): State<Arc<Host>>,
    Path(reach): Path<Reach>,
    Caller(who): Caller,
    Json(request): Json<CreateKey>,
) -> Result<(StatusCode, axum::Json<CreatedKey>), Problem> {
    let created = request.create(&host.store, &reach, &who).await?;
    Ok((StatusCode::CREATED, axum::Json(created)))
}

/// Longest name of a key, in characters.
const NAME_LENGTH_MAX: usize = 100;

impl CreateKey {
    /// Make it. The command line does this too, to make the first one.
    pub(crate) async fn create(self, store: &Store, reach: &Reach, who: &Who) -> Result<CreatedKey, Problem> {
        let Self { name, mut scopes, lifetime } = self;
        let is_plain = !name.trim().is_empty() && !name.contains(char::is_control);
        if !is_plain || name.chars().count() > NAME_LENGTH_MAX {
            let detail = format!("name: it has 1 to {NAME_LENGTH_MAX} characters, and no control characters");
            return Err(Problem::new(Code::BadRequest, detail));
        }
        if lifetime.is_some_and(|lifetime| duration_from_us(duration_us(lifetime)).is_none() || lifetime.is_zero()) {
            return Err(Problem::new(Code::BadRequest, "lifetime: it is more than nothing and at most 100 years"));
        }
        scopes.sort_unstable();
        scopes.dedup();
        if scopes.is_empty() {
            return Err(Problem::new(Code::BadRequest, "scopes: a key without any opens nothing"));
        }
        let api_key = ApiKey::new();
        let new = NewKey { key: &api_key, reach, scopes: &scopes, name: &name, lifetime, who };
        if !store.create_key(new).await? {
            let detail = "1,000 keys of the namespace work: revoke those that nobody uses";
            return Err(Problem::new(Code::TooManyApiKeys, detail));
        }
        created(store, reach, api_key).await
    }
}

/// A key that was just kept.
pub(super) async fn created(store: &Store, reach: &Reach, api_key: ApiKey) -> Result<CreatedKey, Problem> {
    let listing = store.get_key(reach, api_key.id()).await?.ok_or_else(Problem::no_such_key)?;
    Ok(CreatedKey { key: KeyView::new(reach, listing), api_key })
}
