//! Parts of requests, checked, with problem details when they are not valid.

use std::error::Error;
use std::time::Duration;

use axum::body::{Bytes, HttpBody as _};
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, StatusCode};
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use serde::de::{Deserialize, Deserializer};
use tokio::time::timeout;

use super::{Code, Problem, WAIT_MAX, slow_body};
use crate::model::{Namespace, Payload, PayloadError};
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

/// How long the bytes of an upload may be on their way.
const UPLOAD_TIME: Duration = Duration::from_secs(120);

/// How long bytes are thrown away that nobody wants: most clients read no answer before they have sent all, and one that sends
/// a little too much should hear what is wrong.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// The body of an upload, of `most` bytes. Of one that is longer no more is kept, and of what comes after them not much is read.
pub(super) async fn read_upload(request: Request, most: usize) -> Result<Bytes, Problem> {
    let mut body = request.into_body();
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::with_capacity(if announced > most { 0 } else { announced });
    let mut read = announced <= most;
    let reading = async {
        while read && let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Problem::new(Code::BadRequest, format!("in the body: {error}")))?;
            let data = frame.data_ref().map_or(&[][..], |data| &data[..]);
            read = bytes.len() + data.len() <= most;
            bytes.extend_from_slice(if read { data } else { &[] });
        }
        Ok::<_, Problem>(())
    };
    let late = |_| Problem::new(Code::BadRequest, "in the body: it took more than 2 minutes to arrive");
    timeout(UPLOAD_TIME, reading).await.map_err(late)??;
    if read {
        return Ok(bytes.freeze());
    }
    drop(bytes);
    let mut left = most;
    let discarding = async {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    // Whether it has come to its end or not, the answer is the same.
    let _ = timeout(DISCARD_TIME, discarding).await;
    Err(Problem::new(Code::TooLarge, format!("in the body: it has more than {most} bytes, which are the most")))
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
        in_the_body(&rejection, rejection.status(), &rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        in_the_body(&rejection, rejection.status(), &rejection.body_text())
    }
}

fn in_the_body(error: &(dyn Error + 'static), status: StatusCode, text: &str) -> Problem {
    let code = match status {
        StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
        _ if slow_body::is_too_slow(error) => Code::TooSlow,
        _ => Code::BadRequest,
    };
    Problem::new(code, format!("in the body: {text}"))
}

/// How long to wait: `30s`, `500ms`, …; at most a minute.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait(pub Duration);

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

/// Longest concurrency key, in bytes.
const CONCURRENCY_KEY_LENGTH_MAX: usize = 255;

/// Checks a key of runs that are limited together.
pub(super) fn concurrency_key(key: Option<&str>) -> Result<(), Problem> {
    match key {
        Some(key) if key.is_empty() || key.len() > CONCURRENCY_KEY_LENGTH_MAX || key.contains('\0') => {
            let detail = format!("a concurrency key has 1 to {CONCURRENCY_KEY_LENGTH_MAX} bytes, none of them zero");
            Err(Problem::new(Code::BadRequest, detail))
        }
        _ => Ok(()),
    }
}

/// A payload from outside, checked.
pub(super) async fn payload(bytes: Bytes, host: &Host, namespace: &Namespace) -> Result<Payload, Problem> {
    let limits = host.limits(namespace).await?;
    Payload::new(bytes, limits.payload_bytes).map_err(|error| match error {
        PayloadError::TooLarge { .. } => Problem::new(Code::TooLarge, error.to_string()),
        PayloadError::Invalid(_) => Problem::new(Code::BadRequest, error.to_string()),
    })
}
