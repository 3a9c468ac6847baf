//! The attribute macros of the crate `windlass`. See their documentation there.

mod arguments;
mod function;
mod step;
mod workflow;

use proc_macro::TokenStream;

/// Make an `async fn` a workflow: a durable program that can be started as a run.
///
/// Its arguments are the run's input: none is `null`, one is the document itself, more are an array. It returns
/// `windlass::Result<T>`. Arguments and result go through serde, and describe themselves with schemars.
///
/// A workflow must do the same things in the same order whenever it sees the same events. The sandbox sees to it that
/// time, randomness and hash maps are the same on every replay, and that nothing else can be reached; what touches the
/// outside belongs in a step.
///
/// `#[windlass::workflow(name = "…")]` gives it another name than the function's.
#[proc_macro_attribute]
pub fn workflow(arguments: TokenStream, item: TokenStream) -> TokenStream {
    workflow::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Make an `async fn` a step: the only place where a workflow touches the outside.
///
/// Workflows call it like any `async fn`; its body runs elsewhere, in a fresh instance for each attempt, with the real
/// clock, real randomness and the HTTP hosts that were granted. It returns `windlass::Result<T>`; arguments may be
/// references. The result is recorded exactly once; the body may run more than once, each time with the same
/// [idempotency key](https://docs.rs/windlass/latest/windlass/step/struct.Attempt.html#structfield.idempotency_key).
///
/// - `retry(max_attempts = 5, initial = "200ms", factor = 2.0, maximum = "1m", jitter = 0.2)`: what happens after a
///   failed attempt; what is left out is as in `RetryPolicy::DEFAULT`.
/// - `timeout = "30s"`: the longest that one attempt may take; a minute, unless said.
/// - `http = ["api.example.com", "127.0.0.1:*"]`: the hosts that it wants to reach; none, unless said.
/// - `name = "…"`: another name than the function's.
#[proc_macro_attribute]
pub fn step(arguments: TokenStream, item: TokenStream) -> TokenStream {
    step::expand(arguments.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
