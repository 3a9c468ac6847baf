//! What goes wrong, as RFC 9457 problem details: the only table from error to status and code.

use std::any::Any;
use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fair::Busy;
use crate::model::{LimitError, SealError};
use crate::run::{SecretError, UploadError};
use crate::store;
use crate::worker::NamespaceError;

/// A problem, as clients see it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// A stable word that programs can match on.
    #[schema(value_type = String, example = "no-such-run")]
    pub code: String,
    /// What is wrong in general.
    pub title: String,
    /// What is wrong here, and what to do.
    pub detail: String,
}

/// Every code of the API itself; a component that is not accepted has the code of the stage that it failed
/// (`docs/errors.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "their titles say what they are")]
pub enum Code {
    BadRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    TooLarge,
    TooSlow,
    NoSuchNamespace,
    NoSuchComponent,
    NoSuchGrant,
    NoSuchSecret,
    NoSuchSchedule,
    InvalidSchedule,
    TooManySchedules,
    TooManyTicks,
    NoSuchRun,
    NoSuchEvent,
    NoSuchWorkflow,
    NoSuchVersion,
    NoSuchKey,
    TooManyApiKeys,
    RunEnded,
    WrongState,
    CannotRewind,
    InboxFull,
    StorageFull,
    NoSuchLimit,
    LimitTooHigh,
    BadRetention,
    NoArchiveStore,
    IdempotencyConflict,
    WorkflowTaken,
    RateLimited,
    Overloaded,
    NoMasterKey,
    Unavailable,
    Internal,
}

impl Code {
    /// Its status, its name, and what it means.
    pub fn describe(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "The request is not valid"),
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "The request has no API key that is good")
            }
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "The API key is not good for this"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is nothing at this address"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "This address has other methods")
            }
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too-slow", "The request came too slowly"),
            Self::NoSuchNamespace => (StatusCode::NOT_FOUND, "no-such-namespace", "There is no such namespace"),
            Self::NoSuchComponent => {
                (StatusCode::NOT_FOUND, "no-such-component", "There is no such component in the namespace")
            }
            Self::NoSuchGrant => (StatusCode::NOT_FOUND, "no-such-grant", "Nothing of the kind was granted"),
            Self::NoSuchSecret => (StatusCode::NOT_FOUND, "no-such-secret", "There is no such secret in the namespace"),
            Self::NoSuchSchedule => {
                (StatusCode::NOT_FOUND, "no-such-schedule", "There is no such schedule in the namespace")
            }
            Self::InvalidSchedule => {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid-schedule", "The schedule cannot be like that")
            }
            Self::TooManySchedules => {
                (StatusCode::CONFLICT, "too-many-schedules", "The namespace has as many schedules as it may")
            }
            Self::TooManyTicks => (StatusCode::UNPROCESSABLE_ENTITY, "too-many-ticks", "There are too many ticks"),
            Self::NoSuchRun => (StatusCode::NOT_FOUND, "no-such-run", "There is no such run in the namespace"),
            Self::NoSuchEvent => (StatusCode::NOT_FOUND, "no-such-event", "The history of the run has no such event"),
            Self::CannotRewind => (StatusCode::CONFLICT, "cannot-rewind", "The run cannot go on from there"),
            Self::NoSuchWorkflow => (StatusCode::NOT_FOUND, "no-such-workflow", "No component has such a workflow"),
            Self::NoSuchVersion => (StatusCode::NOT_FOUND, "no-such-version", "The component has no such version"),
            Self::NoSuchKey => (StatusCode::NOT_FOUND, "no-such-key", "There is no such API key in the namespace"),
            Self::TooManyApiKeys => (StatusCode::CONFLICT, "too-many-api-keys", "The namespace has too many API keys"),
            Self::RunEnded => (StatusCode::CONFLICT, "run-ended", "The run has ended"),
            Self::WrongState => (StatusCode::CONFLICT, "wrong-state", "This is for something in another state"),
            Self::StorageFull => {
                (StatusCode::INSUFFICIENT_STORAGE, "storage-full", "The namespace keeps as much as it may")
            }
            Self::NoSuchLimit => (StatusCode::UNPROCESSABLE_ENTITY, "no-such-limit", "There is no such limit"),
            Self::LimitTooHigh => (StatusCode::UNPROCESSABLE_ENTITY, "limit-too-high", "The operator allows less"),
            Self::BadRetention => {
                (StatusCode::UNPROCESSABLE_ENTITY, "bad-retention", "Runs cannot be kept in this way")
            }
            Self::NoArchiveStore => (StatusCode::CONFLICT, "no-archive-store", "The host has no archive store"),
            Self::InboxFull => (StatusCode::CONFLICT, "inbox-full", "The run's inbox is full"),
            Self::IdempotencyConflict => {
                (StatusCode::CONFLICT, "idempotency-conflict", "The idempotency key belongs to another request")
            }
            Self::WorkflowTaken => {
                (StatusCode::CONFLICT, "workflow-taken", "The workflow belongs to another component")
            }
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "There were too many requests"),
            Self::Overloaded => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "This host has as much in work as it can")
            }
            Self::NoMasterKey => (StatusCode::CONFLICT, "no-master-key", "The host does not have the master key"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "This cannot be served now"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "The host has a bug"),
        }
    }
}

impl Problem {
    /// With its details.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (status, code, title) = code.describe();
        Self { status: status.as_u16(), code: code.into(), title: title.into(), detail: detail.into() }
    }

    /// There is no such run; whether another namespace has one is not said.
    pub fn no_such_run() -> Self {
        Self::new(Code::NoSuchRun, "check the id, and the namespace in the address")
    }

    /// There is no such namespace, or it is none of the caller's business: which of the two is not said.
    pub fn no_such_namespace() -> Self {
        Self::new(Code::NoSuchNamespace, "check the namespace in the address")
    }

    /// There is no such key; whether another namespace has one is not said.
    pub fn no_such_key() -> Self {
        Self::new(Code::NoSuchKey, "check the id, and the namespace in the address")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let content_type = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"windlass\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        use store::Error as E;
        let detail = error.to_string();
        match error {
            E::NoSuchRun => Self::no_such_run(),
            E::RunEnded(_) => Self::new(Code::RunEnded, detail),
            E::WrongState(_) => Self::new(Code::WrongState, detail),
            E::NoSuchWorkflow => Self::new(Code::NoSuchWorkflow, "check the name: `windlass list` shows those of runs"),
            E::NoSuchVersion(_) => Self::new(Code::NoSuchVersion, detail),
            E::InboxFull(_) => Self::new(Code::InboxFull, detail),
            E::StorageFull => Self::new(Code::StorageFull, detail),
            E::Retention(_) => Self::new(Code::BadRetention, detail),
            E::UpdateConflict => Self::new(Code::IdempotencyConflict, detail),
            E::NoSuchNamespace => Self::no_such_namespace(),
            E::Sealed(SealError::NoMasterKey(_)) => Self::new(Code::NoMasterKey, detail),
            E::WorkflowTaken(_) => Self::new(
                Code::WorkflowTaken,
                format!("{detail}; give it another name, or deploy under that component's name"),
            ),
            E::Unavailable(_) | E::Fenced => {
                tracing::warn!(error = %detail, "a request could not be served");
                let detail = "try again; what was asked may have been done all the same, so give a start or a signal an \
                              Idempotency-Key if it must not be done twice";
                Self::new(Code::Unavailable, detail)
            }
            E::Conflict(_) | E::StartedMeanwhile | E::HostsAtWork | E::Sealed(_) | E::Internal(_) => {
                tracing::error!(error = %detail, "a request could not be served");
                // What the database says may name what is none of the caller's business.
                Self::new(Code::Internal, "the operator finds the reason in the host's log")
            }
        }
    }
}

impl From<LimitError> for Problem {
    fn from(error: LimitError) -> Self {
        let code = match error {
            LimitError::NoSuch(_) => Code::NoSuchLimit,
            LimitError::TooHigh { .. } => Code::LimitTooHigh,
            LimitError::Unreadable { .. } => Code::BadRequest,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NamespaceError> for Problem {
    fn from(error: NamespaceError) -> Self {
        match error {
            NamespaceError::Limit(error) => error.into(),
            NamespaceError::Retention(error) => Self::new(Code::BadRetention, error.to_string()),
            NamespaceError::NoArchiveStore => Self::new(Code::NoArchiveStore, error.to_string()),
            NamespaceError::Secret(error) => error.into(),
            NamespaceError::Store(error) => error.into(),
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Store(error) => error.into(),
            UploadError::Rejected(rejection) => Self {
                status: StatusCode::UNPROCESSABLE_ENTITY.as_u16(),
                code: rejection.code.into(),
                title: "The component is not accepted".into(),
                detail: rejection.message,
            },
            UploadError::Busy(busy) => busy.into(),
            UploadError::Host(message) => {
                tracing::error!(error = %message, "a component could not be inspected");
                Self::new(Code::Unavailable, "the host could not inspect the component now; try again")
            }
        }
    }
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::NoMasterKey | SecretError::Seal(SealError::NoMasterKey(_)) => {
                Self::new(Code::NoMasterKey, error.to_string())
            }
            SecretError::Store(error) => match Arc::try_unwrap(error) {
                Ok(error) => error.into(),
                Err(_) => Self::new(Code::Unavailable, "try again"),
            },
            SecretError::Seal(_) | SecretError::Value(_) => {
                tracing::error!(%error, "a secret could not be sealed");
                Self::new(Code::Internal, "the operator finds the reason in the host's log")
            }
        }
    }
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        Self::new(Code::Unavailable, busy.to_string())
    }
}

pub(super) async fn no_such_route() -> Problem {
    Problem::new(Code::NotFound, "GET /openapi.json lists what there is")
}

pub(super) async fn no_such_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "GET /openapi.json lists what there is")
}

pub(super) fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::new(Code::Internal, "the operator finds the reason in the host's log").into_response()
}
