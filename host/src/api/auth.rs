//! The wall: who may do what.
//!
//! ```text
//! request ─→ Authorization: Bearer wl_… ─→ the key (cached) ─→ its namespace ─→ its scope ─→ handler
//!                   401                         401              404             403
//! ```
//!
//! A route is added with the scope that it needs, and cannot be added without: [`Routes::add`] is the only way, and it also writes
//! the scope into the description of the API. A namespace that a key does not reach is answered like one that is not there,
//! before anything is looked up.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures_util::StreamExt as _;
use utoipa::openapi::path::{Operation, PathItem, Paths};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, ResponseBuilder};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::admission::{self, Admission};
use super::{Code, Problem, rate_limit};
use crate::model::{ApiKey, Scope, Who};
use crate::store::KnownKey;
use crate::worker::{Authentication, Host, KEY_KEPT, Unauthenticated};

/// The name of the scheme in the description.
const SCHEME: &str = "api_key";

/// What the description says beside the scope where the key has to be one for all namespaces.
const FOR_ALL: &str = "all-namespaces";

/// Routes, each with its scope.
pub(super) struct Routes {
    router: OpenApiRouter<Arc<Host>>,
    /// None where only the description is wanted.
    inside: Option<Inside>,
}

/// What is behind the wall.
#[derive(Clone)]
pub(super) struct Inside {
    pub(super) host: Arc<Host>,
    pub(super) admission: Arc<Admission>,
}

/// What stands before a route.
#[derive(Clone)]
struct Gate {
    inside: Inside,
    scope: Scope,
    /// Whether it takes a key for all namespaces, whatever is in the address.
    is_for_all: bool,
}

impl Routes {
    /// None yet.
    pub(super) fn new(mut description: OpenApi, inside: Option<Inside>) -> Self {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("wl_<id>_<secret>")
            .description(Some("An API key. Each operation names the scope that the key has to have, and whether it has to be one for all namespaces."));
        let components = description.components.get_or_insert_with(Components::new);
        components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme.build()));
        Self { router: OpenApiRouter::with_openapi(description), inside }
    }

    /// Add routes that a key with this scope opens.
    pub(super) fn add(mut self, scope: Scope, routes: UtoipaMethodRouter<Arc<Host>>) -> Self {
        let guarded = self.guarded(scope, false, routes);
        self.router = self.router.routes(guarded);
        self
    }

    /// The same, and the key has to be one for all namespaces: what a tenant may use is not for the tenant to say.
    pub(super) fn add_for_all(mut self, scope: Scope, routes: UtoipaMethodRouter<Arc<Host>>) -> Self {
        let guarded = self.guarded(scope, true, routes);
        self.router = self.router.routes(guarded);
        self
    }

    /// The same, where bodies may have so many bytes.
    pub(super) fn add_with_body(
        self,
        scope: Scope,
        body_bytes: usize,
        (schemas, paths, methods): UtoipaMethodRouter<Arc<Host>>,
    ) -> Self {
        let limit = axum::extract::DefaultBodyLimit::max(body_bytes);
        self.add(scope, (schemas, paths, methods.layer(limit)))
    }

    fn guarded(
        &self,
        scope: Scope,
        is_for_all: bool,
        (schemas, mut paths, mut methods): UtoipaMethodRouter<Arc<Host>>,
    ) -> UtoipaMethodRouter<Arc<Host>> {
        describe(&mut paths, scope, is_for_all);
        if let Some(inside) = &self.inside {
            let gate = Gate { inside: inside.clone(), scope, is_for_all };
            // The one that is added last is passed first: nobody who is not let in takes up room.
            methods = methods.route_layer(from_fn_with_state(inside.admission.clone(), admission::admit));
            methods = methods.route_layer(from_fn_with_state(gate, pass));
        }
        (schemas, paths, methods)
    }

    /// The router, and the description.
    pub(super) fn into_parts(self) -> (Router<Arc<Host>>, OpenApi) {
        self.router.split_for_parts()
    }
}

/// Whom a request comes from.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) Who);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Every route is behind the wall, which puts it there.
        let none = || Problem::new(Code::Internal, "the operator finds the reason in the host's log");
        parts.extensions.get().cloned().ok_or_else(none)
    }
}

/// Let a request through, or not.
async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Result<Response, Problem> {
    let Gate { inside: Inside { host, admission }, scope, is_for_all } = gate;
    let (mut parts, body) = request.into_parts();
    if host.authentication() == Authentication::None {
        refuse_web_pages(&parts.headers)?;
        parts.extensions.insert(Caller(Who::Dev));
        return Ok(next.run(Request::from_parts(parts, body)).await);
    }
    let (key, known) = match authenticate(&host, &parts.headers).await {
        Ok(found) => found,
        // Whoever guesses does so at the rate of a caller.
        Err(problem) => return Ok(admission.failed(&parts, problem)),
    };
    admit(&known, scope, is_for_all, &mut parts).await?;
    parts.extensions.insert(rate_limit::Who::Caller(known.key_id.to_string().into()));
    parts.extensions.insert(Caller(Who::Key(known.key_id)));
    // Nobody behind the wall needs it, and nobody can log it.
    parts.headers.remove(header::AUTHORIZATION);
    let begun = Instant::now();
    let response = next.run(Request::from_parts(parts, body)).await;
    if is_stream(&response) {
        return Ok(response.map(|body| until_revoked(body, host, key)));
    }
    // Whoever waited for long must still be allowed to see what has happened since.
    if begun.elapsed() > KEY_KEPT {
        still_good(&host, &key).await?;
    }
    Ok(response)
}

/// Without authentication the API serves programs of this machine. A browser on it is one too, and sends what any page on the web
/// asks it to: to another address than the page's own, and then it says so, or to a name that stands for this machine just now.
fn refuse_web_pages(headers: &HeaderMap) -> Result<(), Problem> {
    let is_local = |authority: &str| {
        let authority: Option<Authority> = authority.parse().ok();
        authority.is_some_and(|authority| {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        })
    };
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let origin = text(header::ORIGIN).map(|origin| origin.rsplit_once("//").map_or("", |(_, authority)| authority));
    if [text(header::HOST), origin].into_iter().flatten().all(is_local) {
        return Ok(());
    }
    let detail = "without authentication the API serves programs of this machine, and no pages from elsewhere: the headers \
                  Host and Origin have to name a loopback address";
    Err(Problem::new(Code::Forbidden, detail))
}

async fn authenticate(host: &Host, headers: &HeaderMap) -> Result<(ApiKey, Arc<KnownKey>), Problem> {
    let key = bearer(headers)?;
    let known = host.authenticator().authenticate(&key).await?;
    Ok((key, known))
}

/// The key of a request.
fn bearer(headers: &HeaderMap) -> Result<ApiKey, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(unauthenticated(
            "send an API key, as `Authorization: Bearer wl_…`; the command line takes it from WINDLASS_API_KEY",
        ));
    };
    if values.next().is_some() {
        return Err(unauthenticated("there is more than one header Authorization"));
    }
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = token else {
        return Err(unauthenticated("the header Authorization is not of the form `Bearer wl_…`"));
    };
    token.trim().parse().map_err(|error: crate::model::ApiKeyError| unauthenticated(error.to_string()))
}

/// Whether the key reaches the namespace of the address, and has the scope: in this order.
async fn admit(known: &KnownKey, scope: Scope, is_for_all: bool, parts: &mut Parts) -> Result<(), Problem> {
    let invalid = |_| Problem::new(Code::BadRequest, "in the address: it is not UTF-8");
    let in_path = RawPathParams::from_request_parts(parts, &()).await.map_err(invalid)?;
    let namespace = in_path.iter().find(|(name, _)| *name == "namespace").map(|(_, value)| value);
    // One that the key does not reach is not there.
    if namespace.is_some_and(|namespace| !known.reach.contains(namespace)) {
        return Err(Problem::no_such_namespace());
    }
    if namespace.is_none() || is_for_all {
        // It is about all of them.
        return if known.reach.contains("*") && known.scopes.contains(&scope) {
            Ok(())
        } else {
            Err(forbidden(known, &format!("the scope `{scope}` for all namespaces")))
        };
    }
    if !known.scopes.contains(&scope) {
        return Err(forbidden(known, &format!("the scope `{scope}`")));
    }
    Ok(())
}

fn forbidden(known: &KnownKey, missing: &str) -> Problem {
    tracing::debug!(key.id = %known.key_id, missing, "a request was refused");
    Problem::new(Code::Forbidden, format!("the key {} does not have {missing}", known.key_id))
}

fn unauthenticated(detail: impl Into<String>) -> Problem {
    Problem::new(Code::Unauthenticated, detail)
}

impl From<Unauthenticated> for Problem {
    fn from(error: Unauthenticated) -> Self {
        if let Unauthenticated::Store(error) = &error {
            tracing::warn!(%error, "a key could not be looked up");
            return Self::new(Code::Unavailable, "the API key could not be looked up; try again");
        }
        unauthenticated(error.to_string())
    }
}

fn is_stream(response: &Response) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|content_type| content_type.starts_with(b"text/event-stream"))
}

/// The stream ends when its key does.
fn until_revoked(body: Body, host: Arc<Host>, key: ApiKey) -> Body {
    let revoked = async move {
        while still_good(&host, &key).await.is_ok() {
            tokio::time::sleep(KEY_KEPT).await;
        }
    };
    Body::from_stream(body.into_data_stream().take_until(Box::pin(revoked)))
}

/// Whether a key that was good is so still. A database that does not answer takes nothing from anybody.
async fn still_good(host: &Host, key: &ApiKey) -> Result<(), Problem> {
    match host.authenticator().authenticate(key).await {
        Ok(_) | Err(Unauthenticated::Store(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Write the scope of these operations, and how they refuse, into their description.
fn describe(paths: &mut Paths, scope: Scope, is_for_all: bool) {
    let refused = |description: &str| {
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        ResponseBuilder::new().description(description).content("application/problem+json", content).build()
    };
    for (path, item) in &mut paths.paths {
        let PathItem { get, put, post, delete, patch, .. } = item;
        for operation in [get, put, post, delete, patch].into_iter().flatten() {
            let Operation { security, responses, .. } = operation;
            let needed = [Some(scope.as_str()), is_for_all.then_some(FOR_ALL)];
            *security = Some(vec![SecurityRequirement::new(SCHEME, needed.into_iter().flatten())]);
            responses.responses.insert("401".to_owned(), refused("unauthenticated").into());
            responses.responses.insert("403".to_owned(), refused("forbidden").into());
            if path.contains("{namespace}") {
                let missing = responses.responses.entry("404".to_owned());
                missing.or_insert_with(|| refused("no-such-namespace").into());
            }
        }
    }
}
