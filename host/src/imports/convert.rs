//! Words of the WIT to words of the model and back. What a guest says is checked here.

use std::time::Duration;

use super::bindings::{program, types};
use crate::model::{
    Failure, GuestLimits, HttpGrant, Manifest, ManifestError, Name, Payload, PayloadError, RetryPolicy,
    StepDeclaration, WorkflowDeclaration, duration_from_us,
};
use crate::sandbox::Violation;

pub(super) fn name(text: &str) -> Result<Name, Violation> {
    Name::new(text).map_err(|error| Violation::new("invalid-name", error))
}

pub(super) fn payload(bytes: Vec<u8>, limits: &GuestLimits) -> Result<Payload, Violation> {
    Payload::new(bytes, limits.payload_bytes).map_err(|error| {
        let code = match error {
            PayloadError::TooLarge { .. } => "payload-too-large",
            PayloadError::Invalid(_) => "invalid-payload",
        };
        Violation::new(code, error)
    })
}

pub(super) fn duration(micros: u64) -> Result<Duration, Violation> {
    let too_long = || Violation::new("duration-too-long", format!("{micros} µs are more than 100 years"));
    duration_from_us(micros).ok_or_else(too_long)
}

pub(super) fn retry_policy(policy: types::RetryPolicy) -> RetryPolicy {
    let types::RetryPolicy { max_attempts, initial, factor, maximum, jitter } = policy;
    RetryPolicy { max_attempts, initial_us: initial, factor, maximum_us: maximum, jitter }
}

/// A failure as a guest gave it. Its code must be a name and its details JSON; its message is cut.
pub fn failure(failure: types::Failure, limits: &GuestLimits) -> Result<Failure, Violation> {
    let types::Failure { code, mut message, details, cause, retryable } = failure;
    let code = name(&code)?.to_string();
    message.truncate(message.floor_char_boundary(Failure::MESSAGE_LENGTH_MAX));
    let details = details.map(|details| payload(details, limits)).transpose()?;
    let cause = cause.map(|cause| payload(cause, limits)).transpose()?;
    Ok(Failure { code, message, details, cause, retryable })
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, details, cause, retryable } = failure;
        let bytes = |payload: Option<Payload>| payload.map(|payload| payload.as_bytes().to_vec());
        Self { code, message, details: bytes(details), cause: bytes(cause), retryable }
    }
}

/// Why a component's description of itself is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum DescriptionError {
    /// A name or a JSON Schema.
    #[error("{place}: {violation}")]
    Value {
        /// Which declaration.
        place: String,
        /// What is wrong with it.
        violation: Violation,
    },
    /// What a step asks to send.
    #[error("the step `{step}` asks for HTTP: {error}")]
    Http {
        /// Which.
        step: Name,
        /// What is wrong with it.
        error: crate::model::HttpGrantError,
    },
    /// The whole.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// A component's description of itself, checked.
pub fn manifest(described: program::Manifest, limits: &GuestLimits) -> Result<Manifest, DescriptionError> {
    let at = |place: String| move |violation| DescriptionError::Value { place, violation };
    let program::Manifest { name: component, mut sdk, workflows, steps } = described;
    sdk.truncate(sdk.floor_char_boundary(Name::LENGTH_MAX));
    let component = name(&component).map_err(at("the component's name".into()))?;
    let workflows = workflows.into_iter().map(|workflow| {
        let at = || at(format!("the workflow `{}`", workflow.name.escape_debug()));
        Ok(WorkflowDeclaration {
            name: name(&workflow.name).map_err(at())?,
            input_schema: payload(workflow.input_schema, limits).map_err(at())?,
            output_schema: payload(workflow.output_schema, limits).map_err(at())?,
            docs: workflow.docs,
        })
    });
    let workflows = workflows.collect::<Result<_, DescriptionError>>()?;
    let steps = steps.into_iter().map(|step| {
        let at = || at(format!("the step `{}`", step.name.escape_debug()));
        let name = name(&step.name).map_err(at())?;
        let asked = |asked: String| {
            let grant = asked.parse::<HttpGrant>();
            grant.map_err(|error| DescriptionError::Http { step: name.clone(), error })
        };
        Ok(StepDeclaration {
            http: step.http.into_iter().map(asked).collect::<Result<_, _>>()?,
            input_schema: payload(step.input_schema, limits).map_err(at())?,
            output_schema: payload(step.output_schema, limits).map_err(at())?,
            docs: step.docs,
            retry: retry_policy(step.retry),
            timeout_us: step.timeout,
            total_timeout_us: step.total_timeout,
            name,
        })
    });
    let steps = steps.collect::<Result<_, DescriptionError>>()?;
    let manifest = Manifest { name: component, sdk, workflows, steps };
    manifest.check()?;
    Ok(manifest)
}
