//! Steps that change something outside: each sends a request to a service on this machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use super::Bench;
use super::client::{Client, Mode};
use super::error::{BenchError, Result};
use super::figure::Figure;
use super::throughput::{Load, connect, drive};

/// Effects of each workflow.
const EFFECTS: u32 = 2;

const IN_FLIGHT: u32 = 64;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let service = Service::start().await?;
    let bare = bare_rate(service.address, bench.scale_time(Duration::from_secs(5), Duration::from_secs(1))).await?;
    let host = bench.stage.host().await?;
    let input = format!(r#"{{"url":"http://{}/","count":{EFFECTS}}}"#, service.address);
    for mode in Mode::ALL {
        let load = Load { workflow: "effects", input: &input, count: bench.scale(5_000, 300), mode };
        let clients = drive(connect(&host, IN_FLIGHT).await?, Load { count: IN_FLIGHT, ..load }).await?;
        let begun = Instant::now();
        drive(clients, load).await?;
        let rate = f64::from(load.count * EFFECTS) / begun.elapsed().as_secs_f64();
        bench.say(Figure::new("effects", mode.name(), "effects_per_s", rate, "1/s").beside(bare));
    }
    host.stop().await
}

/// Requests per second without Windlass, each over a connection of its own.
async fn bare_rate(address: SocketAddr, time: Duration) -> Result<f64> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT {
        tasks.spawn(async move {
            let mut count = 0.0;
            while begun.elapsed() < time {
                Client::connect(address).await?.request("POST", "/", "{}").await?;
                count += 1.0;
            }
            Result::Ok(count)
        });
    }
    let mut all = 0.0;
    while let Some(count) = tasks.join_next().await {
        all += count.expect("a client does not panic")?;
    }
    Ok(all / begun.elapsed().as_secs_f64())
}

/// Answers every request with nothing. Ends when it is dropped.
struct Service {
    address: SocketAddr,
    serving: AbortHandle,
}

impl Service {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(BenchError::io("listen"))?;
        let address = listener.local_addr().map_err(BenchError::io("listen"))?;
        let serve = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                // A client that goes away in the middle shows at the client.
                tokio::spawn(connection);
            }
        };
        Ok(Self { address, serving: tokio::spawn(serve).abort_handle() })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    // What cannot be read shows at the client.
    let _ = request.into_body().collect().await;
    Ok(Response::new(Full::new(Bytes::from_static(b"null"))))
}
