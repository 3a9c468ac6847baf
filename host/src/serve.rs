//! One host with its API, until it is told to stop.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::run::{GuestThreads, SandboxError};
use crate::store::Store;
use crate::worker::{Host, HostConfig};

/// Why a host does not serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The address of the API.
    #[error("the API cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Threads for steps.
    #[error("no threads for steps: {0}")]
    Threads(std::io::Error),
    /// WebAssembly.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

/// Where the API listens.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Listen { address, source })
}

/// Serve until `stop` is cancelled, then stop in good order.
pub(crate) async fn serve(
    store: Store,
    config: HostConfig,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let steps = StepThreads::start().map_err(ServeError::Threads)?;
    let component_bytes = config.limits.component_bytes;
    let (host, work) = Host::start(store, config, GuestThreads::new(steps.handle()))?;
    let api = tokio::spawn(api::serve(listener, host.clone(), component_bytes));
    stop.cancelled().await;
    tracing::info!("stopping");
    host.shutdown();
    if let Err(panic) = work.await {
        tracing::error!(%panic, "the host's work has ended");
    }
    host.store.close().await;
    // Requests that wait have been answered; what still hangs is cut.
    api.abort();
    Ok(())
}

/// Cancelled when the process is asked to stop: SIGTERM or Ctrl-C.
pub(crate) fn stop_signal() -> std::io::Result<CancellationToken> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopped.cancel();
    });
    Ok(stop)
}

/// Threads of steps: never those that serve the API and renew the lease.
struct StepThreads(Option<Runtime>);

impl StepThreads {
    fn start() -> std::io::Result<Self> {
        Ok(Self(Some(Builder::new_multi_thread().thread_name("windlass-step").enable_all().build()?)))
    }

    fn handle(&self) -> tokio::runtime::Handle {
        self.0.as_ref().expect("until it is dropped").handle().clone()
    }
}

impl Drop for StepThreads {
    fn drop(&mut self) {
        // In an asynchronous context a runtime cannot be waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
