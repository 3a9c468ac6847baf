//! Sends hints to other hosts: those of a few milliseconds together, each once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Host;
use crate::store::{Hint, Hints};

/// Hints that wait to be sent; more are dropped, which costs the others a little time and nothing else.
const QUEUE_MAX: usize = 10_000;

/// How long hints gather.
const GATHER: Duration = Duration::from_millis(5);

/// After an error, before the next session.
const RETRY: Duration = Duration::from_secs(1);

/// Takes hints for other hosts.
#[derive(Clone, Debug)]
pub(super) struct Notifier(mpsc::Sender<Hint>);

impl Notifier {
    pub(super) fn send(&self, hint: Hint) {
        // Full: others look by themselves soon enough.
        let _ = self.0.try_send(hint);
    }
}

pub(super) fn channel() -> (Notifier, mpsc::Receiver<Hint>) {
    let (sender, hints) = mpsc::channel(QUEUE_MAX);
    (Notifier(sender), hints)
}

pub(super) async fn run(host: Arc<Host>, mut queue: mpsc::Receiver<Hint>) {
    let mut session: Option<Hints> = None;
    let mut gathered = Vec::new();
    while queue.recv_many(&mut gathered, QUEUE_MAX).await > 0 {
        tokio::time::sleep(GATHER).await;
        while let Ok(hint) = queue.try_recv() {
            gathered.push(hint);
        }
        let hints: HashSet<_> = gathered.drain(..).collect();
        let hints: Vec<_> = hints.into_iter().collect();
        let sent = match session.take() {
            Some(session) => send(session, &hints).await,
            None => match host.store.hints().await {
                Ok(session) => send(session, &hints).await,
                Err(error) => Err(error),
            },
        };
        match sent {
            Ok(kept) => session = Some(kept),
            Err(error) => {
                tracing::debug!(%error, "hints were not sent");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn send(mut session: Hints, hints: &[Hint]) -> crate::store::Result<Hints> {
    session.send(hints).await?;
    Ok(session)
}
