//! What the commits of this host mean to other runs: told here if they are here, and to other hosts if not.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Host;
use crate::run::Runner;
use crate::store::Hint;

pub(super) async fn run(host: Arc<Host>, runner: Arc<Runner>, mut hints: mpsc::UnboundedReceiver<Hint>) {
    while let Some(hint) = hints.recv().await {
        match hint {
            Hint::Ready => host.became_ready(),
            Hint::Mail(run_id) if runner.tell(run_id) => {}
            hint @ (Hint::Mail(_) | Hint::Schedule) => host.notifier.send(hint),
        }
    }
}
