//! One host in this process, shared by the tests that only need some host, with all guests deployed.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use windlass_host::api::{ApiLimits, Certificate, Entrance};
use windlass_host::run::{GuestThreads, RunConfig};
use windlass_host::sandbox::Compiler;
use windlass_host::worker::{Authentication, Host, HostConfig};

use super::api::Api;
use super::database::Database;
use super::guests::guest_bytes;
use super::host::WINDLASS;

/// A host and its database.
pub struct Shared {
    pub api: Api,
    pub server: String,
    pub database: Database,
    host: Arc<Host>,
}

impl Shared {
    /// For one test: connections belong to the runtime that made them, and each test has its own.
    fn again(&self) -> Self {
        Self {
            api: Api::new(&self.server),
            server: self.server.clone(),
            database: self.database.clone(),
            host: self.host.clone(),
        }
    }

    /// Another way in, to the same host.
    pub async fn entrance(&self, limits: ApiLimits, certificate: Option<Arc<Certificate>>) -> SocketAddr {
        let host = self.host.clone();
        on_own_threads(|| async { enter(host, limits, certificate).await.0 }).await
    }
}

/// The host, started by whoever asks first.
pub async fn shared() -> Shared {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    let run = RunConfig { park_after: Duration::from_millis(30), ..RunConfig::default() };
    SHARED.get_or_init(async || on_own_threads(|| start(run)).await).await.again()
}

/// Another, which parks at once and keeps no guest in memory: whatever wakes is replayed from the database.
pub async fn forgetful() -> Shared {
    static FORGETFUL: OnceCell<Shared> = OnceCell::const_new();
    let run = RunConfig { park_after: Duration::ZERO, resident_bytes: 0, ..RunConfig::default() };
    FORGETFUL.get_or_init(async || on_own_threads(|| start(run)).await).await.again()
}

/// Each test has a runtime that ends with it; what is shared needs one that stays.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("a runtime"))
}

/// Do something on threads that outlive the test.
pub async fn on_own_threads<T, F>(work: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    tokio::task::spawn_blocking(move || runtime().block_on(work())).await.expect("no panic")
}

async fn start(run: RunConfig) -> Shared {
    let database = Database::new().await;
    let cache = Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/code").into());
    let authentication = Authentication::None;
    let host = start_host(&database, HostConfig { run, cache, authentication, ..HostConfig::default() }).await;
    let server = format!("http://{}", enter(host.clone(), ApiLimits::default(), None).await.0);
    let api = Api::new(&server);
    for guest in ["hello", "probe", "rogue", "raw"] {
        api.deploy(guest_bytes(guest), "127.0.0.1:*").await.expect("deployed");
    }
    Shared { api, server, database, host }
}

/// A host in this process, for whoever reaches it; it ends with the test that asks for it. Returns where its API is.
pub async fn serve(database: &Database, config: HostConfig) -> String {
    let (database, config) = (database.clone(), HostConfig { authentication: Authentication::None, ..config });
    let (host, address, api) = on_own_threads(move || async move {
        let host = start_host(&database, config).await;
        let (address, api) = enter(host.clone(), ApiLimits::default(), None).await;
        (host, address, api)
    })
    .await;
    let ends = EndsWithTest { host, api };
    // What is still under way in the runtime of a test is dropped when the test is over.
    tokio::spawn(async move {
        let _ends = ends;
        std::future::pending::<()>().await;
    });
    format!("http://{address}")
}

/// Ends a host, and with it the sessions that it has: a server has room for those of a few dozen hosts, and no more.
struct EndsWithTest {
    host: Arc<Host>,
    api: JoinHandle<()>,
}

impl Drop for EndsWithTest {
    fn drop(&mut self) {
        self.api.abort();
        self.host.shutdown();
    }
}

/// A host in this process, for whoever it is configured to serve, as long as the process lives.
pub async fn serve_to(database: &Database, config: HostConfig) -> String {
    let host = start_host(database, config).await;
    format!("http://{}", enter(host, ApiLimits::default(), None).await.0)
}

async fn enter(
    host: Arc<Host>,
    limits: ApiLimits,
    certificate: Option<Arc<Certificate>>,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let entrance = Entrance { listener, certificate, limits };
    (address, tokio::spawn(windlass_host::api::serve(entrance, host, 32 << 20)))
}

/// A host in this process without an API.
pub async fn start_host(database: &Database, mut config: HostConfig) -> Arc<Host> {
    if matches!(config.compiler, Compiler::Absent) {
        config.compiler = Compiler::process(WINDLASS);
    }
    let store = database.store().await;
    let threads = GuestThreads::new(runtime().handle().clone());
    let (host, _work) = Host::start(store, config, threads).expect("a host");
    super::eventually("the host has a lease", async || host.is_serving().then_some(())).await;
    host
}
