//! A bucket: a small HTTP service that keeps objects as S3 does, for whoever signs its requests with a key.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use tokio::net::TcpListener;

/// The id of the key that it knows.
pub const KEY_ID: &str = "AKIAWINDLASS";

/// A bucket on loopback.
pub struct Bucket {
    /// Where it is.
    pub url: String,
    objects: Arc<Objects>,
}

#[derive(Default)]
struct Objects {
    is_closed: AtomicBool,
    refused: AtomicBool,
    all: Mutex<BTreeMap<String, Bytes>>,
}

impl Bucket {
    /// One that refuses everything until it is opened.
    pub async fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let objects = Arc::new(Objects { is_closed: AtomicBool::new(true), ..Objects::default() });
        let router = axum::Router::new().route("/{*name}", put(keep)).with_state(objects.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, objects }
    }

    /// From now on it takes what comes.
    pub fn open(&self) {
        self.objects.is_closed.store(false, Ordering::Release);
    }

    /// Whether it has refused anything.
    pub fn has_refused(&self) -> bool {
        self.objects.refused.load(Ordering::Acquire)
    }

    /// What it has, by its name, which begins with that of the bucket.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.objects.all.lock().expect("no panic").clone()
    }
}

async fn keep(
    State(objects): State<Arc<Objects>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let signed = headers.get("authorization").and_then(|signed| signed.to_str().ok()).unwrap_or_default();
    let is_ours = signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/"));
    if !is_ours || objects.is_closed.load(Ordering::Acquire) {
        objects.refused.store(true, Ordering::Release);
        return (StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>").into_response();
    }
    objects.all.lock().expect("no panic").insert(name, bytes);
    [("ETag", "\"0\"")].into_response()
}
