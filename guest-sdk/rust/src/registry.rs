//! What the attribute macros found: the workflows and steps of the component.

use std::pin::Pin;

use crate::Result;
use crate::step::RetryPolicy;

/// A workflow or a step at work on an encoded input, towards an encoded result.
pub type BoxFuture = Box<dyn Future<Output = Result<Vec<u8>>>>;

/// A function that `#[windlass::workflow]` stands on.
pub struct Workflow {
    /// Its name in the manifest.
    pub name: &'static str,
    /// Its doc comment.
    pub docs: &'static str,
    /// JSON Schema of its input.
    pub input_schema: fn() -> Vec<u8>,
    /// JSON Schema of its result.
    pub output_schema: fn() -> Vec<u8>,
    /// Call it with an encoded input.
    pub start: fn(Vec<u8>) -> Pin<BoxFuture>,
    /// Which function it is: tests name a workflow by its function.
    #[cfg(not(target_family = "wasm"))]
    pub function: fn() -> std::any::TypeId,
}

/// A function that `#[windlass::step]` stands on.
pub struct Step {
    /// Its name in the manifest.
    pub name: &'static str,
    /// Its doc comment.
    pub docs: &'static str,
    /// JSON Schema of its input.
    pub input_schema: fn() -> Vec<u8>,
    /// JSON Schema of its result.
    pub output_schema: fn() -> Vec<u8>,
    /// What happens after a failed attempt.
    pub retry: RetryPolicy,
    /// The longest that an attempt may take, in microseconds.
    pub timeout_us: u64,
    /// The longest that a whole call may take, in microseconds.
    pub total_timeout_us: Option<u64>,
    /// The hosts that it wants to reach.
    pub http: &'static [&'static str],
    /// Call it with an encoded input.
    pub run: fn(Vec<u8>) -> Pin<BoxFuture>,
}

inventory::collect!(Workflow);
inventory::collect!(Step);

/// What a workflow or step must return, and what it gives when all goes well.
#[diagnostic::on_unimplemented(
    message = "a workflow or step returns `windlass::Result<T>`, not `{Self}`",
    label = "should be `windlass::Result<T>`",
    note = "a step can fail, run out of retries or time out; its caller sees that as the `Err`"
)]
pub trait Returned {
    /// The `T` of `windlass::Result<T>`.
    type Value;

    /// Itself, for the macros, so that a wrong type is one error and not two.
    fn returned(self) -> Result<Self::Value>;
}

impl<T> Returned for Result<T> {
    type Value = T;

    fn returned(self) -> Self {
        self
    }
}
