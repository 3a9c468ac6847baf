//! A bucket: a small HTTP service that keeps objects as S3 does, for whoever signs its requests with a key.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use serde::Deserialize;
use tokio::net::TcpListener;

/// The id of the key that it knows.
pub const KEY_ID: &str = "AKIAWINDLASS";

/// No part but the last may be smaller.
const PART_MIN: usize = 5 << 20;

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
    /// What is coming in parts, by its name.
    parts: Mutex<BTreeMap<String, BTreeMap<usize, Bytes>>>,
    /// Parts of all that came so.
    whole: AtomicUsize,
    /// Parts that it takes before it is closed again.
    takes: AtomicUsize,
}

/// What of an object that comes in parts.
#[derive(Deserialize)]
struct Upload {
    #[serde(rename = "partNumber")]
    part: Option<usize>,
    #[serde(rename = "uploadId")]
    id: Option<String>,
}

impl Bucket {
    /// One that refuses everything until it is opened.
    pub async fn closed() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (is_closed, takes) = (AtomicBool::new(true), AtomicUsize::new(usize::MAX));
        let objects = Arc::new(Objects { is_closed, takes, ..Objects::default() });
        let router = axum::Router::new()
            .route("/{*name}", put(keep).post(begin_or_end).delete(forget))
            .layer(from_fn_with_state(objects.clone(), admit))
            .layer(DefaultBodyLimit::disable())
            .with_state(objects.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, objects }
    }

    /// From now on it takes what comes.
    pub fn open(&self) {
        self.objects.is_closed.store(false, Ordering::Release);
    }

    /// From now on it takes so many parts, and then nothing any more.
    pub fn open_for(&self, parts: usize) {
        self.objects.takes.store(parts, Ordering::Release);
        self.objects.refused.store(false, Ordering::Release);
        self.open();
    }

    /// How many parts those had that came in parts and are there; and whether parts lie about of what is not.
    pub fn parts(&self) -> (usize, bool) {
        let is_left = !self.objects.parts.lock().expect("no panic").is_empty();
        (self.objects.whole.load(Ordering::Acquire), is_left)
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

async fn admit(State(objects): State<Arc<Objects>>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let signed = headers.get("authorization").and_then(|signed| signed.to_str().ok()).unwrap_or_default();
    let is_ours = signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={KEY_ID}/"));
    // What was begun may be given up all the same.
    let is_refused = objects.is_closed.load(Ordering::Acquire) && request.method() != "DELETE";
    if !is_ours || is_refused {
        objects.refused.store(true, Ordering::Release);
        return (StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>").into_response();
    }
    next.run(request).await
}

/// An object, or a part of one.
async fn keep(
    State(objects): State<Arc<Objects>>,
    Path(name): Path<String>,
    Query(upload): Query<Upload>,
    bytes: Bytes,
) -> Response {
    let Some(part) = upload.part else {
        objects.all.lock().expect("no panic").insert(name, bytes);
        return [("ETag", "\"0\"")].into_response();
    };
    let mut parts = objects.parts.lock().expect("no panic");
    let Some(parts) = parts.get_mut(&name).filter(|_| upload.id.as_ref() == Some(&name)) else {
        return (StatusCode::NOT_FOUND, "<Error><Code>NoSuchUpload</Code></Error>").into_response();
    };
    parts.insert(part, bytes);
    if objects.takes.fetch_sub(1, Ordering::AcqRel) == 1 {
        objects.is_closed.store(true, Ordering::Release);
    }
    [("ETag", format!("\"{part}\""))].into_response()
}

/// An object will come in parts, or all of them have.
async fn begin_or_end(
    State(objects): State<Arc<Objects>>,
    Path(name): Path<String>,
    Query(upload): Query<Upload>,
    list: String,
) -> Response {
    let mut all = objects.parts.lock().expect("no panic");
    if upload.id.is_none() {
        all.insert(name.clone(), BTreeMap::new());
        let begun =
            format!("<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>");
        return begun.into_response();
    }
    let Some(parts) = all.remove(&name) else {
        return (StatusCode::NOT_FOUND, "<Error><Code>NoSuchUpload</Code></Error>").into_response();
    };
    let is_listed = parts.keys().all(|part| list.contains(&format!("<PartNumber>{part}</PartNumber>")));
    let is_large = parts.values().rev().skip(1).all(|part| part.len() >= PART_MIN);
    if !is_listed || !is_large {
        return (StatusCode::BAD_REQUEST, "<Error><Code>InvalidPart</Code></Error>").into_response();
    }
    objects.whole.fetch_add(parts.len(), Ordering::AcqRel);
    let whole = parts.into_values().collect::<Vec<_>>().concat();
    objects.all.lock().expect("no panic").insert(name, whole.into());
    "<CompleteMultipartUploadResult><ETag>0</ETag></CompleteMultipartUploadResult>".into_response()
}

/// What was begun is given up.
async fn forget(State(objects): State<Arc<Objects>>, Path(name): Path<String>) -> StatusCode {
    objects.parts.lock().expect("no panic").remove(&name);
    StatusCode::NO_CONTENT
}
