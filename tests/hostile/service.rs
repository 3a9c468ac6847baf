//! Services on loopback that note what comes, names that lead where a test wants, and a host with both.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use windlass_host::model::MasterKeys;
use windlass_host::sandbox::{Limits, Resolve, Resolving};
use windlass_host::worker::{HostConfig, Resolver};

use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::shared::serve;

/// What came in.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) target: String,
    pub(super) headers: HashMap<String, String>,
    pub(super) body_bytes: usize,
}

/// A service. `/echo` gives back what came; `/redirect/URL` points there; `/bytes/N` and `/stream/N` are long; `/headers/N`
/// has long headers.
#[derive(Clone)]
pub(super) struct Service {
    /// `127.0.0.1:PORT`
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Service {
    pub(super) async fn open(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let seen = Arc::default();
        let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }
}

async fn answer(State(seen): State<Arc<Mutex<Vec<Seen>>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers: HashMap<_, _> = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let target = head.uri.to_string();
    let note = Seen { target: target.clone(), headers: headers.clone(), body_bytes: body.len() };
    seen.lock().expect("no panic").push(note);
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let response = Response::builder();
    let response = if let Some(url) = target.strip_prefix("/redirect/") {
        response.status(StatusCode::FOUND).header("location", url).body(Body::empty())
    } else if let Some(bytes) = target.strip_prefix("/bytes/") {
        response.body(Body::from(vec![b'y'; number(bytes)]))
    } else if let Some(bytes) = target.strip_prefix("/stream/") {
        let pieces = (0..number(bytes) / 1_000).map(|_| Ok::<_, io::Error>(vec![b'z'; 1_000]));
        response.body(Body::from_stream(futures_util::stream::iter(pieces)))
    } else if let Some(bytes) = target.strip_prefix("/headers/") {
        response.header("x-long", "h".repeat(number(bytes))).body(Body::empty())
    } else {
        let key = headers.get("authorization").cloned().unwrap_or_default();
        let echo = json!({ "headers": headers, "body": String::from_utf8_lossy(&body) }).to_string();
        // In two pieces, cut in the middle of the key if it is there.
        let middle = echo.find(&key).map_or(0, |at| at + key.len() / 2);
        let pieces = [echo[..middle].to_owned(), echo[middle..].to_owned()].map(Ok::<_, io::Error>);
        response.header("x-echo", format!("<{key}>")).body(Body::from_stream(futures_util::stream::iter(pieces)))
    };
    response.expect("a response")
}

/// Leads names where a test wants them, each time somewhere else if it wants.
#[derive(Clone, Default)]
pub(super) struct Names {
    answers: Arc<Mutex<HashMap<String, Vec<Vec<IpAddr>>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    /// What is answered first, then, and so on; the last answer is repeated.
    pub(super) fn lead(&self, name: &str, answers: &[&[&str]]) {
        let answer = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().expect("an address")).collect();
        self.answers.lock().expect("no panic").insert(name.to_owned(), answers.iter().map(answer).collect());
    }

    /// All names that were looked up.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> Resolving<'a> {
        self.asked.lock().expect("no panic").push(name.to_owned());
        let mut answers = self.answers.lock().expect("no panic");
        let answer = answers.get_mut(name).map(|answers| match answers.len() {
            1 => answers[0].clone(),
            _ => answers.remove(0),
        });
        Box::pin(async move { answer.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// A host of its own that knows these names, with the guest `courier` on it.
pub(super) struct Post {
    pub(super) api: Api,
    pub(super) server: String,
    pub(super) database: Database,
    pub(super) names: Names,
}

/// A master key that anybody may know.
pub(super) fn master_key(seed: u8) -> String {
    base64::engine::general_purpose::STANDARD.encode([seed; 32])
}

impl Post {
    pub(super) async fn open(limits: Limits, grants: &str) -> Self {
        let (database, names) = (Database::new().await, Names::default());
        let keys = MasterKeys::parse(&master_key(1)).expect("a key");
        let (resolver, master_keys) = (Resolver(Arc::new(names.clone())), Some(Arc::new(keys)));
        // Each instance reserves addresses, and a process has only so many.
        let limits = Limits { workflow_instances: 64, step_instances: 16, ..limits };
        let config = HostConfig { limits, resolver, master_keys, ..HostConfig::default() };
        let server = serve(&database, config).await;
        let api = Api::new(&server);
        api.deploy(guest_bytes("courier"), grants).await.expect("deployed");
        Self { api, server, database, names }
    }

    /// What an errand comes to, as the code and the message of its failure.
    pub(super) async fn refused(&self, errand: Value) -> (String, String) {
        let run = self.api.start("attempt", errand).await;
        serde_json::from_value(self.api.result(&run).await).expect("a code and a message")
    }

    pub(super) async fn code(&self, errand: Value) -> String {
        self.refused(errand).await.0
    }

    /// What an errand brings back.
    pub(super) async fn report(&self, errand: Value) -> Value {
        let run = self.api.start("errand", errand).await;
        self.api.result(&run).await
    }
}
