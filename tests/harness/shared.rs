//! One host in this process, shared by the tests that only need some host, with all guests deployed.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use windlass_host::run::{GuestThreads, RunConfig};
use windlass_host::worker::{Host, HostConfig};

use super::api::Api;
use super::database::Database;
use super::guests::guest_bytes;

/// A host and its database.
pub struct Shared {
    pub api: Api,
    pub server: String,
    pub database: Database,
}

impl Shared {
    /// For one test: connections belong to the runtime that made them, and each test has its own.
    fn again(&self) -> Self {
        Self { api: Api::new(&self.server), server: self.server.clone(), database: self.database.clone() }
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
    let server = serve(&database, HostConfig { run, cache, ..HostConfig::default() }).await;
    let api = Api::new(&server);
    for guest in ["hello", "probe", "rogue", "raw"] {
        api.deploy(guest_bytes(guest), "127.0.0.1:*").await.expect("deployed");
    }
    Shared { api, server, database }
}

/// A host in this process; it ends with it. Returns where its API is.
pub async fn serve(database: &Database, config: HostConfig) -> String {
    let store = database.store().await;
    let threads = GuestThreads::new(runtime().handle().clone());
    let (host, _work) = Host::start(store, config, threads).expect("a host");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    let router = windlass_host::api::router(host.clone(), 32 << 20);
    tokio::spawn(async move { axum::serve(listener, router).await });
    super::eventually("the host has a lease", async || host.is_serving().then_some(())).await;
    server
}
