//! Parts of requests, checked, with problem details when they are not valid.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts};
use axum::http::HeaderMap;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use super::{Code, Problem, WAIT_MAX};
use crate::model::{Payload, PayloadError};
use crate::worker::Host;

/// Parts of the address.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

/// What stands behind the question mark.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);

/// A JSON body.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(super) struct Json<T>(pub(super) T);

/// A body as it came.
pub(super) struct Body(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(Bytes::from_request(request, state).await?))
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(Code::BadRequest, format!("in the address: {}", rejection.body_text()))
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(Code::BadRequest, format!("in the query: {}", rejection.body_text()))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let code = if rejection.status() == 413 { Code::TooLarge } else { Code::BadRequest };
        Self::new(code, format!("in the body: {}", rejection.body_text()))
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        let code = if rejection.status() == 413 { Code::TooLarge } else { Code::BadRequest };
        Self::new(code, format!("in the body: {}", rejection.body_text()))
    }
}

/// How long to wait: `30s`, `500ms`, …; at most a minute.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wait(pub(super) Duration);

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let duration = humantime::parse_duration(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(duration.min(WAIT_MAX)))
    }
}

/// A header that is text, if it is there.
pub(super) fn header(headers: &HeaderMap, name: &str, length_max: usize) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| (1..=length_max).contains(&text.len()));
    let invalid =
        || Problem::new(Code::BadRequest, format!("the header {name} has 1 to {length_max} characters of plain text"));
    text.map(|text| Some(text.to_owned())).ok_or_else(invalid)
}

/// A value that is a type of ours in JSON.
pub(super) fn parse<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Problem> {
    let value = serde_json::Value::String(text.to_owned());
    serde_json::from_value(value).map_err(|error| Problem::new(Code::BadRequest, format!("{what}: {error}")))
}

/// A payload from outside, checked.
pub(super) fn payload(bytes: Bytes, host: &Host) -> Result<Payload, Problem> {
    Payload::new(bytes, host.payload_bytes()).map_err(|error| match error {
        PayloadError::TooLarge { .. } => Problem::new(Code::TooLarge, error.to_string()),
        PayloadError::Invalid(_) => Problem::new(Code::BadRequest, error.to_string()),
    })
}
