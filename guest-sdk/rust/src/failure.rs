//! Why a step, a call or a workflow did not succeed.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bindings::windlass::workflow::types;

/// What workflows and steps return.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// A failure with a code that other code can match on.
///
/// Every [`std::error::Error`] turns into one by `?`, with the code `error`, its chain of sources in the message, and
/// worth retrying.
///
/// ```
/// use windlass::{Failure, Result};
///
/// fn quantity(text: &str) -> Result<u32> {
///     let quantity: u32 = text.parse()?;
///     if quantity == 0 {
///         return Err(Failure::new("empty-order", "an order has at least one item").fatal());
///     }
///     Ok(quantity)
/// }
///
/// assert_eq!(quantity("0").unwrap_err().code, "empty-order");
/// assert!(quantity("many").unwrap_err().retryable);
/// ```
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A stable word in kebab-case, such as `card-declined`.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Anything more that code may want.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<Value>,
    /// The failure that led to this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Box<Failure>>,
    /// For a step: whether another attempt may help.
    #[serde(default)]
    pub retryable: bool,
}

impl Failure {
    /// A failure that is worth another attempt.
    pub fn new(code: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { code: code.into(), message: message.to_string(), details: None, cause: None, retryable: true }
    }

    /// Not worth another attempt: a step that returns it ends at once, whatever its retry policy says.
    ///
    /// ```
    /// assert!(!windlass::Failure::new("card-declined", "the bank said no").fatal().retryable);
    /// ```
    #[must_use]
    pub fn fatal(self) -> Self {
        Self { retryable: false, ..self }
    }

    /// Add what code may want to know. A value that cannot be written as JSON is left out.
    ///
    /// ```
    /// let failure = windlass::Failure::new("out-of-stock", "none left").with_details(&["tea"]);
    /// assert_eq!(failure.details, Some(serde_json::json!(["tea"])));
    /// ```
    #[must_use]
    pub fn with_details(self, details: &impl Serialize) -> Self {
        Self { details: serde_json::to_value(details).ok(), ..self }
    }
}

impl Failure {
    /// Add the failure that led to this one.
    ///
    /// ```
    /// use windlass::Failure;
    ///
    /// let declined = Failure::new("card-declined", "the bank said no");
    /// let failure = Failure::new("not-paid", "the order is not paid").with_cause(declined);
    /// assert_eq!(failure.cause.unwrap().code, "card-declined");
    /// ```
    #[must_use]
    pub fn with_cause(self, cause: Failure) -> Self {
        Self { cause: Some(Box::new(cause)), ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)?;
        self.details.as_ref().map_or(Ok(()), |details| write!(f, " {details}"))
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::new("error", message)
    }
}

impl Failure {
    pub(crate) fn from_wit(failure: types::Failure) -> Self {
        let types::Failure { code, message, details, cause, retryable } = failure;
        let details = details.and_then(|details| serde_json::from_slice(&details).ok());
        let cause = cause.and_then(|cause| serde_json::from_slice(&cause).ok());
        Self { code, message, details, cause, retryable }
    }

    pub(crate) fn into_wit(self) -> types::Failure {
        let Self { code, message, details, cause, retryable } = self;
        let details = details.map(|details| details.to_string().into_bytes());
        // Failures are strings and documents, which JSON can say.
        let cause = cause.and_then(|cause| serde_json::to_vec(&cause).ok());
        types::Failure { code, message, details, cause, retryable }
    }
}
