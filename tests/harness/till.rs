//! A till: a small real HTTP service that takes money, says under which key it did, and can be closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use tokio::net::TcpListener;

/// A till on loopback.
#[derive(Clone)]
pub struct Till {
    /// Its base URL.
    pub url: String,
    book: Arc<Book>,
}

#[derive(Default)]
struct Book {
    is_closed: AtomicBool,
    taken: Mutex<Vec<String>>,
}

impl Till {
    /// Open one.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let book = Arc::<Book>::default();
        let router = Router::new().route("/payments", post(take)).with_state(book.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, book }
    }

    /// From now on it refuses for good what is asked of it, or does not.
    pub fn set_closed(&self, is_closed: bool) {
        self.book.is_closed.store(is_closed, Ordering::Release);
    }

    /// The idempotency keys of what it has taken, in order.
    pub fn taken(&self) -> Vec<String> {
        self.book.taken.lock().expect("no panic").clone()
    }
}

async fn take(State(book): State<Arc<Book>>, headers: HeaderMap) -> Response {
    let key = headers.get("Idempotency-Key").and_then(|key| key.to_str().ok()).unwrap_or("none").to_owned();
    if book.is_closed.load(Ordering::Acquire) {
        return (StatusCode::PAYMENT_REQUIRED, "not now").into_response();
    }
    // What is asked for again under one key, as a host does that was interrupted, it takes once.
    let mut taken = book.taken.lock().expect("no panic");
    if !taken.contains(&key) {
        taken.push(key.clone());
    }
    drop(taken);
    Json(key).into_response()
}
