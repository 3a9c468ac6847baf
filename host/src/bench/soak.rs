//! Half of the load that this machine can bear, for long: nothing may grow, nothing may slow down.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Bench;
use super::client::{Client, Mode};
use super::error::Result;
use super::figure::Figure;
use super::parked::memory;
use super::throughput::{Load, STEPS, connect, drive};

const WORKLOAD: &str = "soak";

/// Clients, each with a pace of its own.
const CLIENTS: u32 = 128;

/// What is looked at, again and again.
struct Sample {
    runs_per_s: f64,
    memory: f64,
    hot_bytes: f64,
    bytes_per_event: f64,
}

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let time = bench.scale_time(Duration::from_secs(30 * 60), Duration::from_secs(8));
    let host = bench.stage.host().await?;
    let load =
        Load { workflow: "steps", input: &STEPS.to_string(), count: bench.scale(40_000, 1_500), mode: Mode::Default };
    let begun = Instant::now();
    let clients = drive(connect(&host, CLIENTS).await?, load).await?;
    let half = f64::from(load.count) / begun.elapsed().as_secs_f64() / 2.0;
    let mut pacing = pace(clients, half / f64::from(CLIENTS), time);
    let mut samples = Vec::new();
    let mut done = 0;
    let part = time / 10;
    for _ in 0..10 {
        tokio::time::sleep(part.saturating_sub(Duration::from_millis(200))).await;
        let runs = bench.stage.database.closed_runs().await?;
        samples.push(Sample {
            runs_per_s: f64::from(u32::try_from(runs - done).unwrap_or(0)) / part.as_secs_f64(),
            memory: memory(&host),
            hot_bytes: bench.stage.database.hot_size().await?,
            bytes_per_event: bench.stage.database.size().await? / bench.stage.database.events().await?,
        });
        done = runs;
    }
    while let Some(client) = pacing.join_next().await {
        client.expect("a client does not panic")?;
    }
    let mode = format!("{} min at half load", time.as_secs() / 60);
    // The first part has what was done before in it, and caches that fill.
    let (Some(first), Some(last)) = (samples.get(1), samples.last()) else { return Ok(()) };
    let figure = |metric, value, unit, ceiling| Figure::new(WORKLOAD, &*mode, metric, value, unit).beside(ceiling);
    bench.say(figure("runs_per_s_at_the_end", last.runs_per_s, "1/s", first.runs_per_s));
    bench.say(figure("memory_at_the_end", last.memory, "B", first.memory));
    bench.say(figure("hot_tables_at_the_end", last.hot_bytes, "B", first.hot_bytes));
    bench.say(figure("bytes_per_event_at_the_end", last.bytes_per_event, "B", first.bytes_per_event));
    host.stop().await
}

/// Each client starts so many runs a second.
fn pace(clients: Vec<Client>, rate: f64, time: Duration) -> JoinSet<Result<()>> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while begun.elapsed() < time {
                ticks.tick().await;
                client.start("steps", Mode::Default, &STEPS.to_string(), true).await?;
            }
            Ok(())
        });
    }
    tasks
}
