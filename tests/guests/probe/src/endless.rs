//! Runs that begin again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass::{Result, continue_as_new, join_all, publish, random, run, signal, sleep};

use crate::ms;

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

/// `count` events, a thousand at a time.
#[windlass::workflow]
async fn ticks(count: u32) -> Result<u32> {
    for _ in 0..count / 1_000 {
        join_all((0..1_000).map(|_| sleep(ms(0)))).await;
    }
    Ok(run::history_length())
}

/// `count` calls open at once: sleeps, steps, and a signal that goes to the last of those who wait for it.
#[windlass::workflow]
async fn crowd(count: u64) -> Result<u64> {
    let sleeps = join_all((0..count).map(|number| sleep(ms(number % 7))));
    let steps = join_all((0..count).map(crate::double));
    let (_, steps, last) = windlass::join!(sleeps, steps, signal::<u64>("go"));
    let doubled: Result<Vec<_>> = steps.into_iter().collect();
    Ok(doubled?.into_iter().sum::<u64>() + last?)
}
