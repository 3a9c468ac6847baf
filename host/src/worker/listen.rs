//! Passes on the hints of other hosts. Nothing depends on it.

use std::sync::Arc;
use std::time::Duration;

use super::Host;
use crate::store::{Hint, HintListener};

/// After an error, before the next session.
const RETRY: Duration = Duration::from_secs(1);

pub(super) async fn run(host: Arc<Host>) {
    loop {
        let error = match host.store.listen().await {
            Ok(listener) => pass_on(&host, listener).await,
            Err(error) => error,
        };
        tracing::debug!(%error, "hints are not heard; it is tried again");
        tokio::time::sleep(RETRY).await;
    }
}

async fn pass_on(host: &Host, mut listener: HintListener) -> crate::store::Error {
    loop {
        match listener.receive().await {
            Ok(Some(hints)) => hints.into_iter().for_each(|hint| act(host, hint)),
            // The session was away: anything may have been missed.
            Ok(None) => [Hint::Ready, Hint::Schedule].into_iter().for_each(|hint| act(host, hint)),
            Err(error) => return error,
        }
    }
}

fn act(host: &Host, hint: Hint) {
    match hint {
        Hint::Ready => host.ready.notify_one(),
        Hint::Mail(run_id) => host.tell(run_id),
        Hint::Schedule => host.schedules.notify_one(),
    }
}
