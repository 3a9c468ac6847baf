//! Where guests of the workflow role compute: on threads that nobody else waits for.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// As many guests compute at once as there are places.
#[derive(Clone, Debug)]
pub(super) struct GuestThreads {
    places: Arc<Semaphore>,
}

impl GuestThreads {
    /// With this many places.
    pub(super) fn new(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places.max(1))) }
    }

    /// Do work that may take long. Fails if it panics.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let place = self.places.clone().acquire_owned().await.expect("never closed");
        spawn_blocking(move || {
            let _place = place;
            work()
        })
        .await
    }
}
