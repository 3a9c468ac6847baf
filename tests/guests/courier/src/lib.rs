//! Sends what it is told to, and says what came back and what it found in its own memory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass::{Failure, Result, http};

#[derive(Serialize, Deserialize, JsonSchema, Default)]
#[serde(default)]
struct Errand {
    /// `GET` if it is empty.
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    /// So many bytes instead of `body`.
    body_bytes: usize,
    /// How often; once if it is 0.
    times: u32,
    /// Whether to go where a response points.
    follow: bool,
    /// Bytes to look for in its own memory at the end, each with its bits turned, so that they are not there for that reason.
    look_for: Vec<u8>,
    /// `fail` or `trap` instead of a report.
    then: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Default)]
struct Report {
    /// Of each response.
    statuses: Vec<u16>,
    /// The last body, if it is text.
    body: String,
    /// The header `x-echo` of the last response.
    echo: Option<String>,
    /// How often the bytes were in memory.
    found: u32,
}

#[windlass::workflow]
async fn errand(errand: Errand) -> Result<Report> {
    run(errand).await
}

/// The failure's code and message, if it fails.
#[windlass::workflow]
async fn attempt(errand: Errand) -> Result<(String, String)> {
    let failure = run(errand).await.err().unwrap_or_else(|| Failure::new("none", ""));
    Ok((failure.code, failure.message))
}

#[windlass::step(
    retry(max_attempts = 1),
    timeout = "20s",
    http = ["127.0.0.1:*", "localhost:*", "*.example.com:*", "GET,POST 127.0.0.2:*/v1/*"]
)]
async fn run(errand: Errand) -> Result<Report> {
    let mut report = Report::default();
    let mut url = errand.url.clone();
    let mut left = errand.times.max(1);
    while left > 0 {
        left -= 1;
        let response = request(&errand, &url).send().await?;
        windlass::log!(debug, "the answer was {}", response.status());
        report.statuses.push(response.status());
        report.echo = response.header("x-echo").map(str::to_owned);
        if let Some(next) = response.header("location").filter(|_| errand.follow) {
            url = next.to_owned();
            left += 1;
        }
        report.body = response.text().unwrap_or_default();
    }
    report.found = found(&errand.look_for);
    match &*errand.then {
        "fail" => Err(Failure::new("on-purpose", format!("found {}; {}", report.found, report.body))),
        "trap" => panic!("on purpose; found {}; {}", report.found, report.body),
        _ => Ok(report),
    }
}

fn request(errand: &Errand, url: &str) -> http::Request {
    let request = match &*errand.method {
        "POST" => http::post(url),
        "PUT" => http::put(url),
        "DELETE" => http::delete(url),
        _ => http::get(url),
    };
    let request = errand.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
    match (errand.body_bytes, errand.body.as_str()) {
        (0, "") => request,
        (0, body) => request.body(body),
        (bytes, _) => request.body(vec![b'x'; bytes]),
    }
}

/// All of the memory that there is, byte by byte.
#[cfg(target_family = "wasm")]
fn found(turned: &[u8]) -> u32 {
    let length = core::arch::wasm32::memory_size(0) * 65_536;
    if turned.is_empty() {
        return 0;
    }
    // Every address below the length is memory; the first few bytes are as well, but not to Rust.
    let byte = |at: usize| unsafe { std::ptr::read_volatile(at as *const u8) };
    let matches = |at: usize| turned.iter().enumerate().all(|(index, turned)| byte(at + index) == !turned);
    (1..length - turned.len()).filter(|at| matches(*at)).count() as u32
}

#[cfg(not(target_family = "wasm"))]
fn found(_turned: &[u8]) -> u32 {
    0
}

windlass::export!();
