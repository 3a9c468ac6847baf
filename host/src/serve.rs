//! One host with its API, until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::setpriority_process;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::api::{self, Certificate, Entrance};
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
    /// A signal.
    #[error("this process cannot be told to read its certificate again: {0}")]
    Signal(std::io::Error),
    /// Threads for guests.
    #[error("no threads for guests: {0}")]
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
    entrance: Entrance,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let guests = GuestRuntime::start().map_err(ServeError::Threads)?;
    let component_bytes = config.limits.component_bytes;
    let (host, work) = Host::start(store, config, GuestThreads::new(guests.handle()))?;
    if let Some(certificate) = entrance.certificate.clone() {
        let hangup = signal(SignalKind::hangup()).map_err(ServeError::Signal)?;
        // It ends with the process.
        tokio::spawn(keep_up(certificate, hangup));
    }
    let api = tokio::spawn(api::serve(entrance, host.clone(), component_bytes));
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

/// How often the files of a certificate are read again: it is renewed long before it ends.
const READ_EVERY: Duration = Duration::from_secs(10);

/// Look whether the certificate has changed, now and then and when somebody says so.
async fn keep_up(certificate: Arc<Certificate>, mut hangup: Signal) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(READ_EVERY) => {}
            _ = hangup.recv() => tracing::info!("reading the certificate again"),
        }
        certificate.read_again().await;
    }
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

/// What threads of guests that take long leave to those of the host, as in nice(1): a tenth of what one of those gets, where both want a
/// processor. There are several of them for each processor.
const NICE: i32 = 10;

/// Threads of guests that take long: never those that serve the API and renew the lease.
struct GuestRuntime(Option<Runtime>);

impl GuestRuntime {
    fn start() -> std::io::Result<Self> {
        let mut threads = Builder::new_multi_thread();
        // Twice as many as may compute at a time: the others see to it that whoever is next is found (`fair/processors.rs`).
        let count = 2 * std::thread::available_parallelism().map_or(2, usize::from);
        threads.worker_threads(count).thread_name("windlass-guest").enable_all().on_thread_start(|| {
            if let Err(error) = setpriority_process(None, NICE) {
                tracing::debug!(%error, "guests that take long compute with the priority of the host");
            }
        });
        Ok(Self(Some(threads.build()?)))
    }

    fn handle(&self) -> tokio::runtime::Handle {
        self.0.as_ref().expect("until it is dropped").handle().clone()
    }
}

impl Drop for GuestRuntime {
    fn drop(&mut self) {
        // In an asynchronous context a runtime cannot be waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
