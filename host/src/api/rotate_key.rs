//! `POST /v1/namespaces/{namespace}/keys/{key_id}/rotate`

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::Caller;
use super::create_key::{CreatedKey, created};
use super::extract::{Json, Path};
use super::{Code, Problem};
use crate::model::{ApiKey, KeyId, Reach, duration_from_us, duration_us};
use crate::worker::Host;

/// A key to be replaced.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How long the old key still works: `1h` if nothing is said; `0s` is no longer.
    #[serde(default = "overlap_default", with = "humantime_serde")]
    #[schema(value_type = String, example = "1h")]
    pub overlap: Duration,
}

fn overlap_default() -> Duration {
    Duration::from_secs(3_600)
}

/// Make a key that is good for the same as another, which ends soon.
#[utoipa::path(
    post,
    path = "/v1/namespaces/{namespace}/keys/{key_id}/rotate",
    tag = "keys",
    params(("namespace" = String, Path), ("key_id" = String, Path)),
    request_body = RotateKey,
    responses(
        (status = 201, body = CreatedKey, description = "The new one"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-key, or it has ended"),
    )
)]
pub(super) async fn rotate_key(
    State(host): State<Arc<Host>>,
    Path((reach, key_id)): Path<(Reach, KeyId)>,
    Caller(who): Caller,
    Json(RotateKey { overlap }): Json<RotateKey>,
) -> Result<(StatusCode, axum::Json<CreatedKey>), Problem> {
    if duration_from_us(duration_us(overlap)).is_none() {
        return Err(Problem::new(Code::BadRequest, "overlap: it is at most 100 years"));
    }
    let new = ApiKey::new();
    if !host.store.rotate_key(&reach, key_id, &new, overlap, &who).await? {
        return Err(Problem::no_such_key());
    }
    Ok((StatusCode::CREATED, axum::Json(created(&host.store, &reach, new).await?)))
}
