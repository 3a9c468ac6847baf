//! A watcher: reads a meter again and again, for ever if nobody stops it, with a history that stays short.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass::{Result, continue_as_new, publish, run, signal};

/// How many events a generation of the run may see. A real watcher would take some thousands.
const EVENTS_MAX: u32 = 16;

/// All that the watcher has to remember: what it is started with, and what each generation hands to the next.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Watch {
    /// The time between two readings.
    every_ms: u64,
    /// The last reading that is wanted, once somebody has said so.
    #[serde(default)]
    last: Option<u64>,
    #[serde(default)]
    readings: u64,
    #[serde(default)]
    total: u64,
}

/// Adds up readings until the signal `last` says which one is the last.
#[windlass::workflow]
async fn watcher(mut watch: Watch) -> Result<Watch> {
    let every = Duration::from_millis(watch.every_ms);
    while run::history_length() < EVENTS_MAX {
        if watch.last.is_some_and(|last| last <= watch.readings) {
            windlass::log!("stopped in generation {}", run::current().generation);
            return Ok(watch);
        }
        if let Some(last) = signal::<u64>("last").timeout(every).await? {
            watch.last = Some(last);
            continue;
        }
        watch.total += read_meter(watch.readings).await?;
        watch.readings += 1;
        publish("total", &watch.total);
    }
    // The same run, with an empty history. A signal that came meanwhile waits in its inbox for the next generation.
    continue_as_new(&watch).await
}

/// A real one would ask the meter.
#[windlass::step]
async fn read_meter(reading: u64) -> Result<u64> {
    Ok(reading % 10)
}

windlass::export!();
