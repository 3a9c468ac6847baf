//! Requests that the host does not send, and answers that it does not pass on: by which rule, and what to do about it.

use wasmtime_wasi_http::Error;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which rule it was.
    pub rule: Rule,
    /// What was asked, why it was refused, and what would allow it.
    pub message: String,
}

/// The rules over outgoing requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The step does not ask for it, or the operator has not granted it.
    NotGranted,
    /// The name leads to an address that is not public.
    AddressBlocked,
    /// It could be understood in two ways, or in none.
    Invalid,
    /// The attempt has sent as many as it may.
    TooManyRequests,
    /// Bodies or headers that are too long.
    RequestTooLarge,
    /// Bodies or headers that are too long.
    ResponseTooLarge,
    /// A secret that is not there, or not for this place.
    Secret,
}

impl Rule {
    /// The code of the attempt's failure.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotGranted => "http-denied",
            Self::AddressBlocked => "http-address-blocked",
            Self::Invalid => "http-invalid",
            Self::TooManyRequests => "http-too-many-requests",
            Self::RequestTooLarge => "http-request-too-large",
            Self::ResponseTooLarge => "http-response-too-large",
            Self::Secret => "secret-denied",
        }
    }

    /// What `wasi:http` has for it. It has no room for a message: that goes to the attempt's log and into its failure.
    pub(super) fn error(self) -> Error {
        match self {
            Self::NotGranted => Error::HttpRequestDenied,
            Self::AddressBlocked => Error::DestinationIpProhibited,
            Self::Invalid => Error::HttpRequestUriInvalid,
            Self::TooManyRequests => Error::ConnectionLimitReached,
            Self::RequestTooLarge => Error::HttpRequestBodySize(None),
            Self::ResponseTooLarge => Error::HttpResponseBodySize(None),
            Self::Secret => Error::ConfigurationError,
        }
    }
}

impl Refusal {
    /// By a rule, with what a person needs to know.
    pub fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self { rule, message: message.into() }
    }
}

/// Why there is no response.
pub(super) enum Problem {
    /// The host did not want to.
    Refused(Refusal),
    /// It could not be had.
    Failed(Error),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
