//! One outgoing HTTP/1.1 request of a step.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{FusedFuture as _, FutureExt as _};
use http::uri::Scheme;
use http::{Request, Uri};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tower_http::timeout::TimeoutBody;
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::Gate;

/// A response, and what has to be polled while its body is read.
pub(super) type Sent = (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>);

/// Where a step's own timeout is longer than this, a request's is not.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Send a request. Its first byte leaves only if `gate` is still open at that moment.
pub(super) async fn send(
    mut request: Request<WasiBody>,
    options: Option<RequestOptions>,
    gate: Arc<dyn Gate>,
) -> Result<Sent, Error> {
    let connect_timeout = options.and_then(|options| options.connect_timeout).unwrap_or(TIMEOUT);
    let first_byte_timeout = options.and_then(|options| options.first_byte_timeout).unwrap_or(TIMEOUT);
    let between_bytes_timeout = options.and_then(|options| options.between_bytes_timeout).unwrap_or(TIMEOUT);
    let stream = timeout(connect_timeout, connect(request.uri())).await.map_err(|_| Error::ConnectionTimeout)??;
    let stream = TokioIo::new(Guarded { stream, gate, has_passed: false });
    let (mut sender, connection) = http1::handshake(stream).await?;
    // Only the path goes on the wire; the host is in the header of that name.
    let path = request.uri().path_and_query().cloned().ok_or(Error::HttpRequestUriInvalid)?;
    *request.uri_mut() = Uri::from(path);

    let mut connection = Box::pin(connection.fuse());
    let mut response = std::pin::pin!(sender.send_request(request));
    let response = timeout(first_byte_timeout, async {
        tokio::select! {
            biased;
            response = &mut response => response.map_err(Error::from),
            ended = &mut connection => {
                ended.map_err(Error::from)?;
                response.await.map_err(Error::from)
            }
        }
    });
    let response = response.await.map_err(|_| Error::ConnectionReadTimeout)??;
    let response = response.map(|body| {
        let body = TimeoutBody::new(between_bytes_timeout, body.map_err(Error::from));
        body.map_err(|error| error.downcast().map_or(Error::ConnectionReadTimeout, |error| *error)).boxed_unsync()
    });
    let rest = async move { if connection.is_terminated() { Ok(()) } else { connection.await.map_err(Error::from) } };
    Ok((response, Box::new(rest)))
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn connect(uri: &Uri) -> Result<Box<dyn Stream>, Error> {
    let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
    let host = uri.host().ok_or(Error::HttpRequestUriInvalid)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await.map_err(Error::Connect)?;
    stream.set_nodelay(true).map_err(Error::Connect)?;
    if !is_tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Error::HttpRequestUriInvalid)?;
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
