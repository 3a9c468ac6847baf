//! A shop: a small real HTTP service with a ledger. It drops repetitions by their idempotency key, as a service should.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What has come in under one idempotency key.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `stock`, `payments` or `shipments`.
    pub service: String,
    /// Requests that came.
    pub requests: u32,
    /// Those that were answered with an error, on purpose.
    pub refused: u32,
    /// Those that did something.
    pub effects: u32,
}

/// A shop on loopback.
#[derive(Clone)]
pub struct Shop {
    /// `127.0.0.1:PORT`
    pub address: String,
    books: Arc<Books>,
}

/// Told the idempotency key of every request before it is answered.
pub type Watch = Box<dyn Fn(String) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

#[derive(Default)]
struct Books {
    entries: Mutex<BTreeMap<String, Entry>>,
    /// How many requests for a shipment are refused before one is taken, for each key.
    refusals: u32,
    watch: Option<Watch>,
}

impl Shop {
    /// Open a shop whose carrier is away the first `refusals` times.
    pub async fn open(refusals: u32) -> Self {
        Self::open_watched(refusals, None).await
    }

    /// A shop that is watched.
    pub async fn open_watched(refusals: u32, watch: Option<Watch>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let books = Arc::new(Books { entries: Mutex::default(), refusals, watch });
        let router = axum::Router::new().route("/{service}", post(serve)).with_state(books.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, books }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that came in, by idempotency key.
    pub fn ledger(&self) -> BTreeMap<String, Entry> {
        self.books.entries.lock().expect("no panic").clone()
    }
}

async fn serve(
    State(books): State<Arc<Books>>,
    Path(service): Path<String>,
    headers: HeaderMap,
    Json(order): Json<Value>,
) -> Response {
    let Some(key) = headers.get("Idempotency-Key").and_then(|key| key.to_str().ok()) else {
        return (StatusCode::BAD_REQUEST, "no idempotency key").into_response();
    };
    if let Some(watch) = &books.watch {
        watch(key.to_owned()).await;
    }
    let mut entries = books.entries.lock().expect("no panic");
    let entry = entries.entry(key.to_owned()).or_insert_with(|| Entry {
        service: service.clone(),
        requests: 0,
        refused: 0,
        effects: 0,
    });
    entry.requests += 1;
    if service == "shipments" && entry.refused < books.refusals {
        entry.refused += 1;
        return (StatusCode::SERVICE_UNAVAILABLE, "the carrier is away").into_response();
    }
    // A repetition gets the same answer and does nothing.
    entry.effects = 1;
    let id = order["id"].as_str().unwrap_or("?");
    Json(json!(format!("{}-{id}", &service[..3]))).into_response()
}
