//! The loop that accepts connections, and what becomes of one.
//!
//! Each connection is a task. This loop has a handle for each, and cuts those off that keep the host waiting ([`Pace`]).

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::keeping::Keeping;
use super::limits::{ApiLimits, BUFFER_BYTES_MAX, HEAD_BYTES_MAX};
use super::pace::{Pace, Paced, Wire};
use super::slow_body::SlowBody;
use super::tls::Certificate;

/// Where requests come in.
pub struct Entrance {
    /// The port.
    pub listener: TcpListener,
    /// What the host shows of itself; none: it speaks plain HTTP.
    pub certificate: Option<Arc<Certificate>>,
    /// What is let in.
    pub limits: ApiLimits,
}

/// Where a request comes from, among its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// How long a connection may be idle when there are too many.
const IDLE_WHEN_FULL: Duration = Duration::from_secs(1);

/// What the loop has in its hands.
struct Connections {
    limits: ApiLimits,
    room: Arc<Semaphore>,
    tasks: TaskTracker,
    open: Vec<(Arc<Pace>, AbortHandle)>,
    /// When it last was full.
    was_full: Option<Instant>,
}

/// Accept connections until `stopping`; requests that are under way then are answered first.
pub(super) async fn accept(entrance: Entrance, router: Router, stopping: CancellationToken) {
    let Entrance { listener, certificate, limits } = entrance;
    let look_every = limits.head_timeout.min(limits.stall_timeout) / 10;
    let mut look = tokio::time::interval(look_every.clamp(Duration::from_millis(10), Duration::from_secs(1)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let router = TowerToHyperService::new(router);
    let mut connections = Connections::new(limits);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let acceptor = certificate.as_ref().map(|certificate| certificate.acceptor());
                    connections.begin(stream, peer, acceptor, router.clone(), stopping.clone());
                }
                // Too many open files, most likely: those that close make room.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = look.tick(), if !connections.open.is_empty() => {
                let idle = connections.limits.idle_timeout;
                connections.cut_off(idle);
            }
            () = stopping.cancelled() => break,
        }
    }
    drop(listener);
    connections.tasks.close();
    // Whoever calls cuts off what hangs.
    connections.tasks.wait().await;
}

impl Connections {
    fn new(limits: ApiLimits) -> Self {
        let room = Arc::new(Semaphore::new(limits.connections));
        Self { limits, room, tasks: TaskTracker::new(), open: Vec::new(), was_full: None }
    }

    fn begin(
        &mut self,
        stream: TcpStream,
        peer: SocketAddr,
        acceptor: Option<TlsAcceptor>,
        router: TowerToHyperService<Router>,
        stopping: CancellationToken,
    ) {
        let Ok(place) = self.room.clone().try_acquire_owned() else { return self.is_full() };
        // A small answer leaves at once.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection answers in its own time");
        }
        let pace = Arc::new(Pace::handshake());
        let connection = Connection {
            peer: Peer(peer.ip().to_canonical()),
            pace: pace.clone(),
            stall_timeout: self.limits.stall_timeout,
            _place: place,
        };
        let task = self.tasks.spawn(connection.run(stream, acceptor, router, stopping));
        self.open.push((pace, task.abort_handle()));
    }

    /// The new connection is closed. So are those that nothing is asked on, so that the next one finds room.
    fn is_full(&mut self) {
        if self.was_full.is_none_or(|when| when.elapsed() > IDLE_WHEN_FULL) {
            self.was_full = Some(Instant::now());
            tracing::warn!(
                connections = self.limits.connections,
                "there are too many connections: new ones are closed"
            );
            self.cut_off(IDLE_WHEN_FULL.min(self.limits.idle_timeout));
        }
    }

    fn cut_off(&mut self, idle: Duration) {
        self.open.retain(|(pace, task)| {
            let is_overdue = pace.is_overdue(&self.limits, idle);
            if is_overdue {
                task.abort();
            }
            !is_overdue && !task.is_finished()
        });
    }
}

struct Connection {
    peer: Peer,
    pace: Arc<Pace>,
    stall_timeout: Duration,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(
        self,
        stream: TcpStream,
        acceptor: Option<TlsAcceptor>,
        router: TowerToHyperService<Router>,
        stopping: CancellationToken,
    ) {
        let wire = match acceptor {
            None => Wire::Plain(stream),
            Some(acceptor) => match acceptor.accept(stream).await {
                Ok(stream) => Wire::Tls(Box::new(stream)),
                Err(error) => return tracing::debug!(%error, "a TLS handshake failed"),
            },
        };
        let Self { peer, pace, stall_timeout, _place } = self;
        pace.rests();
        let paced = TokioIo::new(Paced { wire, pace: pace.clone() });
        let service = service_fn(move |request: Request<Incoming>| {
            pace.asks();
            let mut request = request.map(|body| axum::body::Body::new(SlowBody::new(body, stall_timeout)));
            request.extensions_mut().insert(peer);
            let (answer, pace) = (router.call(request), pace.clone());
            async move { answer.await.map(|answer| answer.map(|body| Keeping { body, _kept: Asked(pace) })) }
        });
        let mut http = http1::Builder::new();
        // The time for a head is kept by the pace. 100 headers at most is what there is when nothing is said.
        http.header_read_timeout(None).max_header_size(HEAD_BYTES_MAX).max_buf_size(BUFFER_BYTES_MAX);
        let mut serving = pin!(http.serve_connection(paced, service));
        let mut is_stopping = pin!(stopping.cancelled());
        let served = tokio::select! {
            served = serving.as_mut() => served,
            () = &mut is_stopping => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a connection has ended");
        }
    }
}

/// Kept by an answer's body: when that is gone, the connection is idle again.
struct Asked(Arc<Pace>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.rests();
    }
}
