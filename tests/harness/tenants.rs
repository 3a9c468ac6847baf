//! One host in this process that asks for API keys, shared by the tests that need one, and tenants on it.

use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::Client;
use tokio::sync::OnceCell;
use windlass_host::model::{ApiKey, Reach, Scope, Who};
use windlass_host::store::{NewKey, Store};
use windlass_host::worker::HostConfig;

use super::api::{Api, http};
use super::database::Database;
use super::guests::guest_bytes;
use super::shared::{on_own_threads, serve_to};

/// The host, and a way to its database around it.
pub struct Tenants {
    pub server: String,
    pub database: Database,
    pub store: Store,
    pub http: Client,
}

/// The host, started by whoever asks first.
pub async fn tenants() -> Tenants {
    static HOST: OnceCell<(String, Database)> = OnceCell::const_new();
    let start = async || {
        on_own_threads(async || {
            let database = Database::new().await;
            let cache = Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/code").into());
            (serve_to(&database, HostConfig { cache, ..HostConfig::default() }).await, database)
        })
        .await
    };
    let (server, database) = HOST.get_or_init(start).await.clone();
    Tenants { store: database.store().await, http: http(), server, database }
}

impl Tenants {
    /// A namespace that no other test has.
    pub async fn namespace(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tenant-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let namespace = name.parse().expect("a namespace");
        assert!(self.store.put_namespace(&namespace, &[], &Who::Dev).await.expect("made"));
        name
    }

    /// A key for a namespace, or for all (`*`).
    pub async fn key(&self, namespace: &str, scopes: &[Scope]) -> ApiKey {
        new_key(&self.store, namespace, scopes).await
    }

    /// The API as the tenant sees it, with a key for everything.
    pub async fn api(&self, namespace: &str) -> Api {
        Api::with_key(&self.server, namespace, &self.key(namespace, &Scope::ALL).await)
    }
}

/// Two tenants as they see the API, the first one with the guests `probe` and `rogue`.
pub async fn own_and_other() -> (Api, Api) {
    let tenants = tenants().await;
    let (own, other) = (tenants.namespace().await, tenants.namespace().await);
    let (own, other) = (tenants.api(&own).await, tenants.api(&other).await);
    for guest in ["probe", "rogue"] {
        own.deploy(guest_bytes(guest), "").await.expect("deployed");
    }
    (own, other)
}

/// A key for a namespace, or for all (`*`).
pub async fn new_key(store: &Store, namespace: &str, scopes: &[Scope]) -> ApiKey {
    let (key, reach) = (ApiKey::new(), Reach::try_from(namespace.to_owned()).expect("a namespace"));
    let new = NewKey { key: &key, reach: &reach, scopes, name: "test", lifetime: None, who: &Who::Dev };
    assert!(store.create_key(new).await.expect("made"));
    key
}
