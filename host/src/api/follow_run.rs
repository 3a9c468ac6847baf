//! `GET /v1/namespaces/{namespace}/runs/{run_id}/follow`

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Problem;
use super::extract::Path;
use super::get_history::PAGE_BYTES;
use super::view::{AttemptView, EventView, RunView};
use crate::model::{Namespace, RunId, RunState};
use crate::store::Watcher;
use crate::worker::Host;

/// How often a run is looked at when this host is not at it.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Events that are read at a time.
const CHUNK: u32 = 500;

/// Follow a run as server-sent events: `event` for each entry of its history, `attempt` for each attempt of a step that
/// fails, `state` whenever it stands elsewhere, and `end` last.
#[utoipa::path(
    get,
    path = "/v1/namespaces/{namespace}/runs/{run_id}/follow",
    tag = "runs",
    params(("namespace" = String, Path), ("run_id" = String, Path)),
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "no-such-run"),
    )
)]
pub(super) async fn follow_run(
    State(host): State<Arc<Host>>,
    Path((namespace, run_id)): Path<(Namespace, RunId)>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    if host.store.get_run(&namespace, run_id).await?.is_none() {
        return Err(Problem::no_such_run());
    }
    let watcher = host.watchers().watch(run_id);
    let (events, receiver) = mpsc::channel(16);
    // Apart from the request: when the client goes, the channel closes, and no query is cut in two.
    tokio::spawn(follow(host, namespace, run_id, watcher, events));
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|event| (Ok(event), receiver))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

/// How far a client has been told.
#[derive(Default)]
struct Told {
    events: u32,
    attempts: usize,
    state: Option<RunState>,
}

/// The client is gone, or the run has ended.
struct Over;

async fn follow(host: Arc<Host>, namespace: Namespace, run_id: RunId, watcher: Watcher, events: mpsc::Sender<Event>) {
    let mut told = Told::default();
    loop {
        let changed = watcher.changed();
        match tell(&host, &namespace, run_id, &mut told, &events).await {
            Ok(Ok(())) => {}
            Ok(Err(Over)) => return,
            Err(error) => tracing::debug!(%error, "a run that is followed could not be read; it is tried again"),
        }
        tokio::select! {
            () = changed => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = host.stopping().cancelled() => return,
            () = events.closed() => return,
        }
    }
}

async fn tell(
    host: &Host,
    namespace: &Namespace,
    run_id: RunId,
    told: &mut Told,
    events: &mpsc::Sender<Event>,
) -> crate::store::Result<Result<(), Over>> {
    // The run before its history: what is told as the end comes after all of it.
    let Some(run) = host.store.get_run(namespace, run_id).await? else { return Ok(Err(Over)) };
    // It may have been rewound.
    told.events = told.events.min(run.events);
    let attempts = host.store.attempts(namespace, run_id).await?;
    let failed: Vec<_> = attempts.into_iter().filter(|attempt| attempt.failure.is_some()).collect();
    for attempt in failed.iter().skip(told.attempts) {
        if send(events, "attempt", &AttemptView::from(attempt.clone())).await.is_err() {
            return Ok(Err(Over));
        }
    }
    told.attempts = failed.len();
    loop {
        let (new, next) = host.store.history_page(namespace, run_id, told.events, CHUNK, PAGE_BYTES).await?;
        for event in new {
            told.events = event.seq + 1;
            if send(events, "event", &EventView::from(event)).await.is_err() {
                return Ok(Err(Over));
            }
        }
        if next.is_none() {
            break;
        }
    }
    let (state, is_over) = (run.state, run.result.is_some());
    let view = RunView::from(run);
    if is_over {
        // Sent or not, there is nothing more to say.
        drop(send(events, "end", &view).await);
        return Ok(Err(Over));
    }
    if told.state.replace(state) != Some(state) && send(events, "state", &view).await.is_err() {
        return Ok(Err(Over));
    }
    Ok(Ok(()))
}

async fn send(events: &mpsc::Sender<Event>, name: &str, data: &impl Serialize) -> Result<(), Over> {
    let event = Event::default().event(name).json_data(data).map_err(|_| Over)?;
    events.send(event).await.map_err(|_| Over)
}
