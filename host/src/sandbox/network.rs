//! The way out of this host, shared by all attempts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Resolve;
use crate::model::Namespace;

/// Looks up names, and counts connections.
pub struct Network {
    pub(super) resolver: Arc<dyn Resolve>,
    places: Mutex<HashMap<Namespace, Arc<Semaphore>>>,
}

/// Connections of one namespace at once, on one host; others wait for their turn.
pub const CONNECTIONS_MAX: usize = 64;

/// Namespaces that are remembered before those without a connection are forgotten.
const NAMESPACES_MAX: usize = 1_024;

impl Network {
    /// With its way to look up names.
    pub fn new(resolver: Arc<dyn Resolve>) -> Self {
        Self { resolver, places: Mutex::default() }
    }

    /// Wait for a connection's place; it is free again when this is dropped.
    pub(super) async fn place(&self, namespace: &Namespace) -> OwnedSemaphorePermit {
        self.places_of(namespace).acquire_owned().await.expect("never closed")
    }

    fn places_of(&self, namespace: &Namespace) -> Arc<Semaphore> {
        // A panic between two lines leaves a map that is still a map.
        let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= NAMESPACES_MAX {
            all.retain(|_, places| Arc::strong_count(places) > 1);
        }
        all.entry(namespace.clone()).or_insert_with(|| Arc::new(Semaphore::new(CONNECTIONS_MAX))).clone()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::sandbox::SystemResolver;

    #[tokio::test]
    async fn each_namespace_has_its_own_places_and_no_more() {
        let network = Network::new(Arc::new(SystemResolver));
        let (busy, other) = (Namespace::new("busy").unwrap(), Namespace::new("other").unwrap());
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            held.push(network.place(&busy).now_or_never().expect("a place"));
        }
        assert!(network.place(&busy).now_or_never().is_none());
        assert!(network.place(&other).now_or_never().is_some());
        held.pop();
        assert!(network.place(&busy).now_or_never().is_some());
    }
}
