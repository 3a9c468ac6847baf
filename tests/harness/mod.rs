//! What tests stand on: the real PostgreSQL, real components, real hosts in processes of their own, a real HTTP service.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod api;
pub mod bucket;
pub mod certificates;
pub mod database;
pub mod ended;
pub mod guests;
pub mod host;
pub mod proxy;
pub mod shared;
pub mod shop;
pub mod tenants;
pub mod till;

use std::time::Duration;

/// Wait until something is so; panic with `what` if it takes too long.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    const PATIENCE: Duration = Duration::from_secs(30);
    // Many looks open a session each: on a machine that stalls they would come faster than the database sees old ones off.
    const PAUSE_MOST: Duration = Duration::from_millis(50);
    let begun = std::time::Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not after {PATIENCE:?}: {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MOST);
    }
}
