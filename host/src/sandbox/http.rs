//! Outgoing HTTP of steps: only to hosts that the step asks for and the operator granted, and only through a gate.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::send::{Sent, send};
use crate::model::HostPattern;

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
pub struct Hooks {
    asked: Arc<[HostPattern]>,
    granted: Arc<[HostPattern]>,
    gate: Arc<dyn Gate>,
}

impl Http {
    /// For a step that asks for the hosts `asked` of a component that was granted `granted`.
    pub fn new(asked: Arc<[HostPattern]>, granted: Arc<[HostPattern]>, gate: Arc<dyn Gate>) -> Self {
        Self { ctx: WasiHttpCtx::new(), hooks: Hooks { asked, granted, gate } }
    }
}

impl Hooks {
    fn allows(&self, uri: &http::Uri) -> bool {
        let Some(host) = uri.host() else { return false };
        let port_of_scheme = if uri.scheme() == Some(&http::uri::Scheme::HTTPS) { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(port_of_scheme);
        let any = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.matches(host, port, port_of_scheme));
        any(&self.asked) && any(&self.granted)
    }
}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let allowed = self.allows(request.uri());
        let gate = self.gate.clone();
        Box::new(async move {
            if !allowed {
                return Err(Error::HttpRequestDenied);
            }
            gate.pass().await.map_err(|closed| Error::InternalError(Some(closed.to_string())))?;
            send(request, options, gate).await
        })
    }
}
