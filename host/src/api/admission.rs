//! What a host takes on at once: what is more is refused at once, while it is still able to.
//!
//! This layer comes after whatever finds out who calls, and before the body of the request is read. So nobody who is not let in
//! takes up room here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Method, Uri, header};

use super::keeping::Keeping;
use super::limits::ApiLimits;
use super::rate_limit::{RateLimiter, RetryAfter, Who};
use super::{Code, Peer, Problem};

/// What is in work, and what there is room for.
pub(super) struct Admission {
    rooms: [Room; 3],
    namespaces: Option<RateLimiter>,
    callers: Option<RateLimiter>,
}

struct Room {
    taken: AtomicUsize,
    most: usize,
}

/// What it costs to have a request in work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cost {
    /// Time, and little of it.
    Short,
    /// Memory, for as long as a minute or a run.
    Waiting,
    /// Both.
    Upload,
}

impl Cost {
    fn of(method: &Method, uri: &Uri) -> Self {
        let waits = || uri.query().is_some_and(|query| query.split('&').any(|part| part.starts_with("wait=")));
        match uri.path() {
            path if method == Method::GET && path.ends_with("/follow") => Self::Waiting,
            path if method == Method::POST && path.ends_with("/components") => Self::Upload,
            _ if waits() => Self::Waiting,
            _ => Self::Short,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Short => "requests",
            Self::Waiting => "requests that wait",
            Self::Upload => "uploads",
        }
    }
}

/// A request that is in work; there is room for another when it is dropped.
struct Place {
    admission: Arc<Admission>,
    cost: Cost,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.rooms[self.cost as usize].taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub(super) fn new(limits: &ApiLimits) -> Self {
        let room = |most| Room { taken: AtomicUsize::new(0), most };
        Self {
            rooms: [limits.requests, limits.waiting, limits.uploads].map(room),
            namespaces: limits.rate.map(RateLimiter::new),
            callers: limits.caller_rate.map(RateLimiter::new),
        }
    }

    fn enter(self: &Arc<Self>, cost: Cost) -> Result<Place, Problem> {
        let room = &self.rooms[cost as usize];
        let place = Place { admission: self.clone(), cost };
        if room.taken.fetch_add(1, Ordering::Relaxed) < room.most {
            return Ok(place);
        }
        let detail = format!("this host has {} {} in work; try again after `Retry-After`", room.most, cost.describe());
        Err(Problem::new(Code::Overloaded, detail))
    }

    /// Whoever has not shown who it is, is told so; and if it tries too often, only that it does.
    pub(super) fn failed(&self, parts: &Parts, problem: Problem) -> Response {
        let address = parts.extensions.get::<Peer>().map(|peer| Who::Address(peer.0));
        match self.count(&address) {
            Ok(()) => problem.into_response(),
            Err(refusal) => *refusal,
        }
    }

    /// `Err`: who it is that asks too often, and for how long that is so.
    fn count<'a>(&self, whom: impl IntoIterator<Item = &'a Who>) -> Result<(), Box<Response>> {
        for who in whom {
            let limiter = match who {
                Who::Namespace(_) => &self.namespaces,
                Who::Caller(_) | Who::Address(_) => &self.callers,
            };
            let Some(limiter) = limiter else { continue };
            if let Err(RetryAfter(seconds)) = limiter.take(who) {
                let mut response = limiter.refuse(who).into_response();
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                return Err(Box::new(response));
            }
        }
        Ok(())
    }
}

/// The layer.
pub(super) async fn admit(
    State(admission): State<Arc<Admission>>,
    parameters: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let namespace = parameters.iter().find(|(name, _)| *name == "namespace");
    let namespace = namespace.map(|(_, name)| Who::Namespace(name.into()));
    let caller = request.extensions().get::<Who>();
    // The caller first: one that asks too often takes nothing from the others of its namespace.
    if let Err(refusal) = admission.count(caller.into_iter().chain(&namespace)) {
        return *refusal;
    }
    let cost = Cost::of(request.method(), request.uri());
    let place = match admission.enter(cost) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    let response = next.run(request).await;
    if cost == Cost::Waiting {
        // A stream of events is in work until it ends.
        return response.map(|body| Body::new(Keeping { body, _kept: place }));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(method: &Method, uri: &'static str) -> Cost {
        Cost::of(method, &Uri::from_static(uri))
    }

    #[test]
    fn what_waits_is_told_from_what_does_not_by_its_address() {
        let runs = "/v1/namespaces/default/runs";
        assert_eq!(cost(&Method::POST, runs), Cost::Short);
        assert_eq!(cost(&Method::GET, "/v1/namespaces/default/runs?limit=20&workflow=wait"), Cost::Short);
        assert_eq!(cost(&Method::POST, "/v1/namespaces/default/runs?wait=60s"), Cost::Waiting);
        assert_eq!(cost(&Method::GET, "/v1/namespaces/default/runs/1/logs?after=7&wait=30s"), Cost::Waiting);
        assert_eq!(cost(&Method::GET, "/v1/namespaces/default/runs/1/follow"), Cost::Waiting);
        assert_eq!(cost(&Method::POST, "/v1/namespaces/default/runs/1/signals/follow"), Cost::Short);
        assert_eq!(cost(&Method::POST, "/v1/namespaces/default/components?name=a"), Cost::Upload);
    }

    #[test]
    fn what_waits_takes_no_room_from_what_does_not() {
        let limits = ApiLimits { requests: 1, waiting: 2, uploads: 1, ..ApiLimits::default() };
        let admission = Arc::new(Admission::new(&limits));
        let waiting = [admission.enter(Cost::Waiting), admission.enter(Cost::Waiting)];
        assert_eq!(admission.enter(Cost::Waiting).err().unwrap().code, "overloaded");
        let short = admission.enter(Cost::Short).unwrap();
        assert!(admission.enter(Cost::Short).is_err());
        drop(short);
        assert!(admission.enter(Cost::Short).is_ok());
        drop(waiting);
        assert!(admission.enter(Cost::Waiting).is_ok());
        assert!(admission.enter(Cost::Upload).is_ok());
    }

    #[tokio::test]
    async fn a_caller_that_asks_too_often_takes_nothing_from_the_others_of_its_namespace() {
        use axum::middleware::{from_fn, from_fn_with_state};
        use hyper::service::Service as _;

        // As a layer does that finds out who calls.
        async fn identify(mut request: Request, next: Next) -> Response {
            if let Some(key) = request.headers().get("key").and_then(|key| key.to_str().ok()) {
                let who = Who::Caller(key.into());
                request.extensions_mut().insert(who);
            }
            next.run(request).await
        }
        let rate = super::super::Rate::new(1, Some(3));
        let limits = ApiLimits { rate, caller_rate: rate, ..ApiLimits::default() };
        let router = axum::Router::new()
            .route("/{namespace}", axum::routing::get(async || "ok"))
            .layer(from_fn_with_state(Arc::new(Admission::new(&limits)), admit))
            .layer(from_fn(identify));
        let router = hyper_util::service::TowerToHyperService::new(router);
        let status = async |namespace: &str, key: &str| {
            let request =
                Request::builder().uri(format!("/{namespace}")).header("key", key).body(Body::empty()).unwrap();
            router.call(request).await.unwrap().status().as_u16()
        };
        for namespace in ["a", "b", "c"] {
            assert_eq!(status(namespace, "one").await, 200);
        }
        assert_eq!(status("a", "one").await, 429, "in whichever namespace");
        for expected in [200, 200, 429] {
            assert_eq!(status("a", "two").await, expected, "three in all, and the one that was refused does not count");
        }
    }
}
