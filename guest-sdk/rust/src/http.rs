//! HTTP requests, for the code of steps. Only what the step asks for *and* the operator grants can be sent.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wstd::http::{Body, Client, HeaderMap, HeaderName, HeaderValue, Method, Uri, error::ErrorCode};

use crate::{Failure, Result, payload, step};

/// Begin a GET request.
///
/// ```no_run
/// #[windlass::step(http = ["example.com"])]
/// async fn fetch() -> windlass::Result<String> {
///     windlass::http::get("https://example.com/").send().await?.success()?.text()
/// }
/// ```
pub fn get(url: impl Into<String>) -> Request {
    Request::new(Method::GET, url.into())
}

/// Begin a POST request.
///
/// ```no_run
/// #[windlass::step(http = ["bank.example"])]
/// async fn charge(cents: u64) -> windlass::Result<String> {
///     let request = windlass::http::post("https://bank.example/charges").json(&cents).idempotent();
///     request.send().await?.success()?.json()
/// }
/// ```
pub fn post(url: impl Into<String>) -> Request {
    Request::new(Method::POST, url.into())
}

/// Begin a PUT request.
///
/// ```no_run
/// # async fn step() -> windlass::Result<()> {
/// windlass::http::put("https://store.example/orders/7").json(&"paid").send().await?.success()?;
/// # Ok(()) }
/// ```
pub fn put(url: impl Into<String>) -> Request {
    Request::new(Method::PUT, url.into())
}

/// Begin a DELETE request.
///
/// ```no_run
/// # async fn step() -> windlass::Result<()> {
/// windlass::http::delete("https://store.example/orders/7").send().await?.success()?;
/// # Ok(()) }
/// ```
pub fn delete(url: impl Into<String>) -> Request {
    Request::new(Method::DELETE, url.into())
}

/// What stands for a secret in the value of a header. The host puts the value in just before the request leaves, if the secret
/// is bound to this header of requests to this host; the code of the step never has it.
///
/// ```no_run
/// # async fn step() -> windlass::Result<()> {
/// use windlass::http;
///
/// let request = http::get("https://bank.example/balance");
/// request.header("Authorization", format!("Bearer {}", http::secret("bank"))).send().await?;
/// # Ok(()) }
/// ```
pub fn secret(name: &str) -> String {
    format!("{{{{secret:{name}}}}}")
}

/// A request that is being put together. What is wrong with it comes out of [`send`](Request::send).
#[must_use = "a request goes out with `send`"]
pub struct Request {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Result<Vec<u8>>,
    timeout: Option<Duration>,
}

impl Request {
    fn new(method: Method, url: String) -> Self {
        Self { method, url, headers: Vec::new(), body: Ok(Vec::new()), timeout: None }
    }

    /// Add a header. With [`secret`] in its value, the host puts a secret there.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Add the attempt's idempotency key as the header `Idempotency-Key`: the service can drop the repetition of a
    /// request that it has seen. For the one request of a step that changes something.
    pub fn idempotent(self) -> Self {
        self.header("Idempotency-Key", step::attempt().idempotency_key)
    }

    /// Send these bytes.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Ok(body.into());
        self
    }

    /// Send a value as JSON, with the content type that says so.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        self.body = payload::encode(value);
        self.header("Content-Type", "application/json")
    }

    /// Wait no longer than this for the connection and for the first byte of the response; the step's own timeout holds
    /// as well.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Send it and read the whole response.
    ///
    /// Fails with `http-error` if no response came. Fails, and is not retryable, with `http-denied` if the request is not
    /// granted, with `http-address-blocked` if the name leads to an address that is not public, with `http-invalid` if the
    /// request makes no sense, with `http-too-many-requests`, `http-request-too-large` or `http-response-too-large` if it is
    /// beyond a limit of the attempt, and with `secret-denied` if it names a secret that is not for this place. The failure
    /// of an attempt that ends so says in the host's own words why. A response of any status is no failure, and redirects are
    /// not followed: each request is checked by itself; see [`Response::success`].
    pub async fn send(self) -> Result<Response> {
        #[cfg(not(target_family = "wasm"))]
        crate::testing::refuse_http(&self.url);
        let mut client = Client::new();
        if let Some(timeout) = self.timeout {
            client.set_connect_timeout(timeout);
            client.set_first_byte_timeout(timeout);
        }
        let response = client.send(self.into_wstd()?).await.map_err(explain)?;
        let (head, mut body) = response.into_parts();
        let body = body.contents().await.map_err(explain)?.to_vec();
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
    }

    fn into_wstd(self) -> Result<wstd::http::Request<Body>> {
        let invalid = |what: &str| Failure::new("http-invalid", format!("no valid {what}")).fatal();
        let uri: Uri = self.url.parse().map_err(|_| invalid(&format!("URL: `{}`", self.url)))?;
        let mut request = wstd::http::Request::new(Body::from(self.body?));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        for (name, value) in self.headers {
            let header: HeaderName = name.parse().map_err(|_| invalid(&format!("name of a header: `{name}`")))?;
            let value = HeaderValue::from_str(&value).map_err(|_| invalid(&format!("value of the header `{name}`")))?;
            request.headers_mut().append(header, value);
        }
        Ok(request)
    }
}

fn explain(error: wstd::http::Error) -> Failure {
    match error.downcast_ref::<ErrorCode>() {
        Some(ErrorCode::HttpRequestDenied) => {
            let message =
                "the request was not granted to this step: the step must ask for it, and the operator must grant it";
            Failure::new("http-denied", message).fatal()
        }
        Some(ErrorCode::DestinationIpProhibited) => {
            Failure::new("http-address-blocked", "the name of the host leads to an address that is not public").fatal()
        }
        Some(ErrorCode::HttpRequestUriInvalid) => {
            Failure::new("http-invalid", "the host did not send the request, which could be misunderstood").fatal()
        }
        Some(ErrorCode::ConnectionLimitReached) => {
            Failure::new("http-too-many-requests", "the attempt has sent as many requests as it may").fatal()
        }
        Some(ErrorCode::HttpRequestBodySize(None)) => {
            Failure::new("http-request-too-large", "the attempt has sent as many bytes as it may").fatal()
        }
        Some(ErrorCode::HttpResponseBodySize(None)) => {
            Failure::new("http-response-too-large", "the attempt has received as many bytes as it may").fatal()
        }
        Some(ErrorCode::ConfigurationError) => {
            Failure::new("secret-denied", "a secret that the request names is not there, or not for this place").fatal()
        }
        Some(code) => Failure::new("http-error", code),
        None => Failure::new("http-error", format!("{error:#}")),
    }
}

/// A response that was read to its end.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; fails with `http-body` if it is not UTF-8.
    pub fn text(self) -> Result<String> {
        String::from_utf8(self.body).map_err(|error| Failure::new("http-body", error))
    }

    /// The body as a value; fails with `http-body` if it has another shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body).map_err(|error| Failure::new("http-body", error))
    }

    /// Itself, if the status is below 400; else a failure `http-status` with the status and the beginning of the body as
    /// details. Worth retrying unless the service says that the request itself is wrong: 4xx other than 408, 425 and 429.
    pub fn success(self) -> Result<Self> {
        if self.status < 400 {
            return Ok(self);
        }
        let beginning = &self.body[..self.body.len().min(1024)];
        let details = (self.status, String::from_utf8_lossy(beginning));
        let failure =
            Failure::new("http-status", format!("the service answered {}", self.status)).with_details(&details);
        let retryable = self.status >= 500 || matches!(self.status, 408 | 425 | 429);
        Err(if retryable { failure } else { failure.fatal() })
    }
}
