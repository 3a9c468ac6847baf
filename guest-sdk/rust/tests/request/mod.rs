//! Runs that are asked to stop.

use std::time::Duration;

use windlass::sleep;
use windlass::testing::{Run, Test};

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Wait for ever, and say so when that ends.
pub(crate) async fn wait_as(name: &str) {
    struct Dropped<'a>(&'a str);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            windlass::log!("{} dropped", self.0);
        }
    }

    let _dropped = Dropped(name);
    sleep(seconds(1_000_000)).await;
}

/// What the run logged, in one line.
pub(crate) fn told<T>(run: &Run<T>) -> String {
    run.logs().into_iter().map(|line| line.message).collect::<Vec<_>>().join(", ")
}

/// Started, and asked to stop after a minute.
pub(crate) fn cancelled_after_a_minute(name: &str) -> Run<serde_json::Value> {
    let mut test = Test::new();
    test.at(seconds(60)).cancel();
    let mut run = test.start(name, ());
    run.advance(seconds(60));
    run
}
