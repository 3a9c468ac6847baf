//! Outgoing HTTP of steps: only to hosts that the step asks for and the operator granted, and only through a gate.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::Request;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::Allowance;
use super::body::patient;
use super::refusal::Problem;
use super::send::{Sent, prepare, send};

/// What must be so before the first byte leaves the host: everything that led to the step is committed, and this host
/// still has the right to its runs.
pub trait Gate: Send + Sync {
    /// Wait until a request may be prepared.
    fn pass(&self) -> Pin<Box<dyn Future<Output = Result<(), GateClosed>> + Send + '_>>;

    /// Whether, having passed, it may leave at this very moment.
    fn is_open(&self) -> bool;
}

/// No request may leave any more: the host has lost the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this host has lost the run")]
pub struct GateClosed;

/// What a step instance keeps for `wasi:http`.
pub struct Http {
    /// Limits of the implementation.
    pub ctx: WasiHttpCtx,
    /// Where requests go out.
    pub hooks: Hooks,
}

/// Sends what may be sent.
pub struct Hooks(Arc<Allowance>);

impl Http {
    /// For an attempt.
    pub fn new(allowance: Arc<Allowance>) -> Self {
        Self { ctx: WasiHttpCtx::new(), hooks: Hooks(allowance) }
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let (allowance, mut request) = (self.0.clone(), request.map(patient));
        let checked = allowance.check(&mut request);
        Box::new(async move {
            let told = |problem| match problem {
                Problem::Refused(refusal) => allowance.refuse(refusal),
                Problem::Failed(error) => error,
            };
            let prepared = match checked {
                Ok(target) => prepare(&allowance, &target, request.headers(), options).await,
                Err(refusal) => Err(refusal.into()),
            };
            match prepared {
                Ok(ready) => send(ready, request, options, allowance.clone()).await.map_err(told),
                Err(problem) => Err(told(problem)),
            }
        })
    }

    // The library would write these to the host's log; they are the guest's, and it hears of them.
    fn p2_error_from_hyper(&mut self, _error: &hyper::Error) -> ErrorCode {
        ErrorCode::HttpProtocolError
    }

    fn p2_error_from_connect(&mut self, _error: &std::io::Error) -> ErrorCode {
        ErrorCode::ConnectionRefused
    }

    fn p2_error_from_tls(&mut self, _error: &std::io::Error) -> ErrorCode {
        ErrorCode::TlsProtocolError
    }
}
