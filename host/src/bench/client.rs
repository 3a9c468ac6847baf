//! What drives a host: as light as can be, for it shares the processors with what it measures.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use super::error::{BenchError, Result};

/// One connection, one request at a time.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

/// What matters of a run.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) run_id: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) result: serde_json::Value,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.map_err(BenchError::io("connect to the host"))?;
        stream.set_nodelay(true).map_err(BenchError::io("set up a connection"))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what went wrong shows in the request.
        tokio::spawn(connection);
        Ok(Self { sender, address })
    }

    /// The body of the answer, if it says that all is well.
    pub(super) async fn request(&mut self, method: &'static str, path: &str, body: impl Into<Bytes>) -> Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body.into()))
            .expect("a method and a path");
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(refused(method, path, status, &body)) }
    }

    /// Start a run, and wait for its end if that is asked for.
    pub(super) async fn start(&mut self, workflow: &str, mode: Mode, input: &str, wait: bool) -> Result<Run> {
        let path = if wait { "/v1/namespaces/default/runs?wait=60s" } else { "/v1/namespaces/default/runs" };
        let body = format!(r#"{{"workflow":"{workflow}","input":{input},"durability":"{}"}}"#, mode.as_str());
        let answer = self.request("POST", path, body).await?;
        let run = self.read(workflow, &answer)?;
        if wait && run.state != "completed" { Err(failed(workflow, &answer)) } else { Ok(run) }
    }

    /// Wait for the end of a run.
    pub(super) async fn wait(&mut self, workflow: &str, run_id: &str) -> Result<Run> {
        loop {
            let path = format!("/v1/namespaces/default/runs/{run_id}?wait=60s");
            let answer = self.request("GET", &path, Bytes::new()).await?;
            let run = self.read(workflow, &answer)?;
            match &*run.state {
                "completed" => return Ok(run),
                "ready" | "running" | "waiting" => {}
                _ => return Err(failed(workflow, &answer)),
            }
        }
    }

    /// Send a signal that carries nothing.
    pub(super) async fn signal(&mut self, run_id: &str, name: &str) -> Result<()> {
        let path = format!("/v1/namespaces/default/runs/{run_id}/signals/{name}");
        self.request("POST", &path, "null").await?;
        Ok(())
    }

    /// The processor time that guests have used on the host, in seconds.
    pub(super) async fn guest_seconds(&mut self) -> Result<f64> {
        let text = self.request("GET", "/metrics", Bytes::new()).await?;
        let text = String::from_utf8_lossy(&text);
        let value = text.lines().find_map(|line| line.strip_prefix("windlass_guest_seconds_total ")?.parse().ok());
        Ok(value.unwrap_or(f64::NAN))
    }

    fn read(&self, workflow: &str, answer: &Bytes) -> Result<Run> {
        serde_json::from_slice(answer).map_err(|_| failed(workflow, answer))
    }
}

/// The durability of runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Default,
    Strict,
}

impl Mode {
    pub(super) const ALL: [Self; 2] = [Self::Default, Self::Strict];

    /// As figures say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Strict => "strict",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Default => "output",
            Self::Strict => "strict",
        }
    }
}

fn refused(method: &'static str, path: &str, status: StatusCode, body: &Bytes) -> BenchError {
    let body = String::from_utf8_lossy(body).into_owned();
    BenchError::Refused { method, path: path.to_owned(), status, body }
}

fn failed(workflow: &str, answer: &Bytes) -> BenchError {
    BenchError::Run { load: workflow.to_owned(), answer: String::from_utf8_lossy(answer).into_owned() }
}
