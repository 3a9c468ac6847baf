//! One outgoing HTTP/1.1 request of a step.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{FusedFuture as _, FutureExt as _};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower_http::timeout::TimeoutBody;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::allowance::{Way, bytes_of};
use super::body::{incoming, outgoing};
use super::placeholder::Filling;
use super::refusal::{Problem, Refusal, Rule};
use super::resolve::addresses;
use super::{Allowance, Gate};
use crate::model::{Level, Scheme, Secret, Target, TargetHost};

/// A response, and what has to be polled while its body is read.
pub(super) type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// Bytes of all headers of a response together.
const RESPONSE_HEADERS_BYTES_MAX: usize = 64 << 10;

/// All that a request needs before its first byte.
pub(super) struct Ready {
    stream: Guarded,
    filling: Filling,
}

/// See to it that a request may leave, and connect.
pub(super) async fn prepare(
    allowance: &Arc<Allowance>,
    target: &Target,
    headers: &HeaderMap,
    options: Option<RequestOptions>,
) -> Result<Ready, Problem> {
    let connect_timeout = shorter(allowance, options.and_then(|options| options.connect_timeout));
    let filling = Filling::prepare(headers, target, (&*allowance.vault, &allowance.namespace)).await?;
    let gate = allowance.gate.clone();
    gate.pass().await.map_err(|closed| Error::InternalError(Some(closed.to_string())))?;
    let connecting = async {
        let place = allowance.network.place(&allowance.namespace).await;
        let stream = connect(allowance, target).await?;
        Ok::<_, Problem>(Guarded { stream, gate, has_passed: false, _place: place })
    };
    let stream = timeout(connect_timeout, connecting).await;
    let stream = stream.map_err(|_| too_slow(allowance, connect_timeout, Error::ConnectionTimeout))??;
    Ok(Ready { stream, filling })
}

/// As long as the guest asks for, and no longer than it may.
fn shorter(allowance: &Allowance, asked: Option<Duration>) -> Duration {
    let most = allowance.limits.http_time();
    asked.map_or(most, |asked| asked.min(most))
}

/// What a step hears of a server that took longer than this. If the guest has not asked for that, its log says where it comes from.
fn too_slow(allowance: &Allowance, after: Duration, error: Error) -> Error {
    if after == allowance.limits.http_time() {
        let took = humantime::format_duration(after);
        allowance
            .log
            .write(Level::Warn, &format!("a request took longer than {took}, which is the most (http_time_ms)"));
    }
    error
}

/// Send a request. Its first byte leaves only if the gate is still open at that moment.
pub(super) async fn send(
    ready: Ready,
    mut request: Request<WasiBody>,
    options: Option<RequestOptions>,
    allowance: Arc<Allowance>,
) -> Result<Sent, Problem> {
    let first_byte_timeout = shorter(&allowance, options.and_then(|options| options.first_byte_timeout));
    let between_bytes_timeout = shorter(&allowance, options.and_then(|options| options.between_bytes_timeout));
    let Ready { stream, filling } = ready;
    let http1 = http1::Builder::new().max_buf_size(RESPONSE_HEADERS_BYTES_MAX).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = http1.map_err(Error::from)?;
    // Only the path goes on the wire; the host is in the header of that name.
    let path = request.uri().path_and_query().cloned().ok_or(Error::HttpRequestUriInvalid)?;
    *request.uri_mut() = Uri::from(path);
    let secrets = filling.put_into(request.headers_mut());
    let request = request.map(|body| outgoing(body, &allowance));

    let mut connection = Box::pin(connection.fuse());
    let mut response = std::pin::pin!(sender.send_request(request));
    let response = timeout(first_byte_timeout, async {
        tokio::select! {
            biased;
            response = &mut response => response,
            ended = &mut connection => match ended {
                Ok(()) => response.await,
                Err(error) => Err(error),
            }
        }
    });
    let response = response.await;
    let response = response.map_err(|_| too_slow(&allowance, first_byte_timeout, Error::ConnectionReadTimeout))?;
    let response = response.map_err(|error| explain(error, &allowance))?;
    if bytes_of(response.headers()) > RESPONSE_HEADERS_BYTES_MAX {
        return Err(headers_too_large().into());
    }
    allowance.check_length(Way::In, response.body().size_hint().lower())?;
    let mut response = response.map(|body| {
        let body = TimeoutBody::new(between_bytes_timeout, body.map_err(Error::from));
        let slow = allowance.clone();
        let body = body.map_err(move |error| match error.downcast() {
            Ok(error) => *error,
            Err(_elapsed) => too_slow(&slow, between_bytes_timeout, Error::ConnectionReadTimeout),
        });
        incoming(body.boxed_unsync(), &allowance, &secrets)
    });
    mask(response.headers_mut(), &secrets);
    let rest = async move { if connection.is_terminated() { Ok(()) } else { connection.await.map_err(Error::from) } };
    Ok((response, Box::new(rest)))
}

/// What the host itself did to a request, or to its response, is not the network's doing.
fn explain(error: hyper::Error, allowance: &Allowance) -> Problem {
    if error.is_parse_too_large() {
        return headers_too_large().into();
    }
    // It was the body that was refused, in the middle.
    allowance.refusal().map_or_else(|| Error::from(error).into(), |refusal| refusal.rule.error().into())
}

fn headers_too_large() -> Refusal {
    let message = format!("the headers of the response have more than {RESPONSE_HEADERS_BYTES_MAX} bytes");
    Refusal::new(Rule::ResponseTooLarge, message)
}

/// A service may send back what it was sent.
fn mask(headers: &mut HeaderMap, secrets: &[Secret]) {
    for secret in secrets {
        let value = secret.value.reveal();
        for header in headers.values_mut().filter(|header| header.len() >= value.len()) {
            if !header.as_bytes().windows(value.len()).any(|window| window == value) {
                continue;
            }
            *header = HeaderValue::from_static("***");
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// To exactly the addresses that were checked.
async fn connect(allowance: &Allowance, target: &Target) -> Result<Box<dyn Stream>, Problem> {
    let addresses = addresses(&*allowance.network.resolver, target).await?;
    let stream = TcpStream::connect(&addresses[..]).await.map_err(Error::Connect)?;
    stream.set_nodelay(true).map_err(Error::Connect)?;
    if target.scheme == Scheme::Http {
        return Ok(Box::new(stream));
    }
    let name = match &target.host {
        TargetHost::Address(address) => ServerName::from(*address),
        TargetHost::Name(name) => ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?,
    };
    Ok(Box::new(TlsConnector::from(tls()).connect(name, stream).await.map_err(Error::Tls)?))
}

/// Certificates are checked against the roots that browsers trust.
fn tls() -> Arc<ClientConfig> {
    static TLS: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let roots = || RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    TLS.get_or_init(|| Arc::new(ClientConfig::builder().with_root_certificates(roots()).with_no_client_auth())).clone()
}

/// Looks at the gate just before the first byte of the request: a host may have been stopped for an hour since it connected.
struct Guarded {
    stream: Box<dyn Stream>,
    gate: Arc<dyn Gate>,
    has_passed: bool,
    /// Free again when the connection ends.
    _place: OwnedSemaphorePermit,
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.has_passed && !self.gate.is_open() {
            return Poll::Ready(Err(io::Error::other("this host has lost the run")));
        }
        self.has_passed = true;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}
