//! What one attempt of a step may send, and how much of it it has sent.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Request};
use wasmtime_wasi_http::WasiBody;

use super::headers;
use super::placeholder::is_in_url;
use super::refusal::{Refusal, Rule};
use super::{Gate, LogBuffer, Network, Vault};
use crate::model::{Allows, GuestLimits, HttpGrant, Level, Name, Namespace, Target};

/// What an attempt brings with it. Shared by all its requests.
pub struct Allowance {
    /// Whose.
    pub namespace: Namespace,
    /// Of which component.
    pub component: Name,
    /// Of which step.
    pub step: Name,
    /// What the step asks for.
    pub asked: Arc<[HttpGrant]>,
    /// What the operator has granted to the component.
    pub granted: Arc<[HttpGrant]>,
    /// What must be so before the first byte leaves.
    pub gate: Arc<dyn Gate>,
    /// The way out of this host.
    pub network: Arc<Network>,
    /// Where secrets come from.
    pub vault: Arc<dyn Vault>,
    /// How much it may send and receive.
    pub limits: Arc<GuestLimits>,
    /// Where people read why something was refused.
    pub log: LogBuffer,
    /// What was sent so far.
    pub used: Used,
}

/// What an attempt has sent and received, and what was refused to it last.
#[derive(Debug, Default)]
pub struct Used {
    requests: AtomicU32,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    refusal: Mutex<Option<Refusal>>,
}

/// Bytes of the URL and of all headers of a request together. Servers take 8 to 32 KiB.
const HEADERS_BYTES_MAX: usize = 32 << 10;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

impl Allowance {
    /// Whether a request may be sent, and where to. Its headers become those that are sent, but for secrets.
    pub(super) fn check(&self, request: &mut Request<WasiBody>) -> Result<Target, Refusal> {
        // A refusal that the guest went on after is not why it fails later.
        *self.last() = None;
        if self.used.requests.fetch_add(1, Ordering::Relaxed) >= self.limits.http_requests {
            let message = format!(
                "the attempt has sent {} requests, which are the most (http_requests)",
                self.limits.http_requests
            );
            return Err(Refusal::new(Rule::TooManyRequests, message));
        }
        let (uri, method) = (request.uri().clone(), request.method().as_str().to_owned());
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let target = Target::parse(uri.scheme_str().unwrap_or_default(), authority)
            .map_err(|error| Refusal::new(Rule::Invalid, format!("the request goes nowhere: {error}")))?;
        if !HttpGrant::is_method(&method) {
            let message = "the method is not in upper case, or is CONNECT or TRACE, which no step may use";
            return Err(Refusal::new(Rule::Invalid, message));
        }
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        if !path.starts_with('/') {
            return Err(Refusal::new(Rule::Invalid, "the path of the URL does not begin with a slash"));
        }
        self.check_grants(&method, &target, path)?;
        if is_in_url(&uri) {
            let message = "the URL holds a placeholder of a secret: a secret goes into the header that it is bound to";
            return Err(Refusal::new(Rule::Secret, message));
        }
        headers::clean(request.headers_mut(), &target, authority)?;
        let bytes = uri.path_and_query().map_or(0, |path| path.as_str().len()) + bytes_of(request.headers());
        if bytes > HEADERS_BYTES_MAX {
            let message = format!(
                "the URL and the headers of the request have {bytes} bytes, and {HEADERS_BYTES_MAX} are the most"
            );
            return Err(Refusal::new(Rule::RequestTooLarge, message));
        }
        let length = request.headers().get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        self.check_length(Way::Out, length.unwrap_or(0))?;
        Ok(target)
    }

    /// Both must allow it: what the step asks for says what its author meant it to do, and what is granted, what the operator
    /// lets it do.
    fn check_grants(&self, method: &str, target: &Target, path: &str) -> Result<(), Refusal> {
        let best = |grants: &[HttpGrant]| grants.iter().map(|grant| grant.allows(method, target, path)).max();
        let asked = best(&self.asked).unwrap_or(Allows::NotHost);
        let granted = best(&self.granted).unwrap_or(Allows::NotHost);
        if (asked, granted) == (Allows::Yes, Allows::Yes) {
            return Ok(());
        }
        let shown: String = path.chars().take(200).flat_map(char::escape_debug).collect();
        let request = format!("{method} {target}{shown}");
        let (step, component) = (&self.step, &self.component);
        let message = match (asked, granted) {
            (Allows::Unclear(reason), _) | (Allows::Yes, Allows::Unclear(reason)) => {
                format!(
                    "`{request}` may be within what was granted, or not, depending on the server: its path has {reason}"
                )
            }
            (Allows::Yes, _) => {
                let wanted = wanted(method, target, path);
                let granted = list(&self.granted);
                format!(
                    "`{request}` is not granted to the component `{component}`, which was granted {granted}. To allow it: \
                     windlass grant {component} --http '{wanted}'"
                )
            }
            (..) => {
                let asked = list(&self.asked);
                format!(
                    "the step `{step}` does not ask for `{request}`: it asks for {asked}. Its author says what it asks for, \
                     in Rust with `#[windlass::step(http = […])]`, and the operator grants it"
                )
            }
        };
        Err(Refusal::new(Rule::NotGranted, message))
    }

    /// Whether a body that says that it is so long may pass.
    pub(super) fn check_length(&self, way: Way, length: u64) -> Result<(), Refusal> {
        let (used, most) = self.bytes(way);
        if used.load(Ordering::Relaxed).saturating_add(length) > most { Err(too_large(way, most)) } else { Ok(()) }
    }

    /// Count bytes of a body.
    pub(super) fn take_bytes(&self, way: Way, count: usize) -> Result<(), Refusal> {
        let (used, most) = self.bytes(way);
        let count = count as u64;
        if used.fetch_add(count, Ordering::Relaxed).saturating_add(count) > most {
            Err(too_large(way, most))
        } else {
            Ok(())
        }
    }

    fn bytes(&self, way: Way) -> (&AtomicU64, u64) {
        match way {
            Way::Out => (&self.used.request_bytes, self.limits.http_request_bytes),
            Way::In => (&self.used.response_bytes, self.limits.http_response_bytes),
        }
    }

    /// Write down why, for the attempt's log and for its failure. Returns what the guest gets.
    pub(super) fn refuse(&self, refusal: Refusal) -> wasmtime_wasi_http::Error {
        let error = refusal.rule.error();
        self.log.write(Level::Warn, &format!("{}: {}", refusal.rule.code(), refusal.message));
        *self.last() = Some(refusal);
        error
    }

    /// Why the attempt's last request was refused, if it was.
    pub fn refusal(&self) -> Option<Refusal> {
        self.last().clone()
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<Refusal>> {
        // What is written under it is one assignment.
        self.used.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_large(way: Way, most: u64) -> Refusal {
    let (rule, bodies, limit) = match way {
        Way::Out => (Rule::RequestTooLarge, "requests", "http_request_bytes"),
        Way::In => (Rule::ResponseTooLarge, "responses", "http_response_bytes"),
    };
    let message =
        format!("the bodies of the attempt's {bodies} have more than {most} bytes, which are the most ({limit})");
    Refusal::new(rule, message)
}

pub(super) fn bytes_of(headers: &HeaderMap) -> usize {
    // As on the wire: `name: value` and the end of the line.
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// The grant that would allow a request. An operator may copy it into a shell: it holds nothing that the guest could make a
/// command of.
fn wanted(method: &str, target: &Target, path: &str) -> String {
    let host = target.authority();
    format!("{method} {host}{path}").parse::<HttpGrant>().map_or(format!("{method} {host}"), |grant| grant.to_string())
}

fn list(grants: &[HttpGrant]) -> String {
    const SHOWN_MAX: usize = 8;
    let mut shown: Vec<_> = grants.iter().take(SHOWN_MAX).map(|grant| format!("`{grant}`")).collect();
    if grants.len() > SHOWN_MAX {
        shown.push(format!("{} more", grants.len() - SHOWN_MAX));
    }
    if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
}
