//! Runs that begin again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass::{Result, continue_as_new, publish, random, run, signal};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Lap {
    left: u32,
    sum: u64,
    random: Vec<u64>,
    lengths: Vec<u32>,
}

/// Adds up signals, `left` laps of two signals each.
#[windlass::workflow]
async fn laps(lap: Lap) -> Result<(u64, usize, Vec<u32>)> {
    let Lap { left, mut sum, random: mut numbers, mut lengths } = lap;
    sum += signal::<u64>("item").await? + signal::<u64>("item").await?;
    numbers.push(random());
    lengths.push(run::history_length());
    publish("sum", &sum);
    windlass::log!("{left} left");
    if left > 1 {
        // A step that is under way is cancelled, as at the end.
        let _started = std::pin::pin!(crate::double(1));
        return continue_as_new(&Lap { left: left - 1, sum, random: numbers, lengths }).await;
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok((sum, numbers.len(), lengths))
}
