//! Bringing a run back to where it was: from its history in memory, and from the database until it goes on.

use std::time::Instant;

use super::Bench;
use super::client::Client;
use super::error::Result;
use super::figure::Figure;
use super::pieces;

const WORKLOAD: &str = "replay";

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let all = [10, 1_000, 10_000, 100_000, 1_000_000];
    let lengths = if bench.quick { &all[..3] } else { &all[..] };
    for &length in lengths {
        let seconds = pieces::replay_seconds(&bench.stage.component, length)?;
        let figure =
            Figure::new(WORKLOAD, format!("{length} events"), "time_per_event_in_memory", per(seconds, length), "µs");
        bench.say(figure);
    }
    let host = bench.stage.host().await?;
    let mut client = host.client().await?;
    // A run whose program is loaded.
    client.start("steps", super::client::Mode::Default, "1", true).await?;
    // What it takes to wake a run with no history to speak of: sending, claiming, instantiating.
    let fixed = wake_best(bench, &mut client, 0).await?;
    bench.say(Figure::new(WORKLOAD, "no events", "until_it_goes_on", fixed * 1e3, "ms"));
    for &length in lengths {
        let seconds = wake_best(bench, &mut client, length).await?;
        let mode = format!("{length} events");
        bench.say(Figure::new(WORKLOAD, &*mode, "until_it_goes_on", seconds * 1e3, "ms"));
        if length >= 1_000 {
            let per_event = per((seconds - fixed).max(0.0), length);
            bench.say(Figure::new(WORKLOAD, &*mode, "time_per_event_from_database", per_event, "µs"));
        }
    }
    host.stop().await
}

/// The quickest of some; of a long history, one that is long enough to say something by itself.
async fn wake_best(bench: &mut Bench<'_>, client: &mut Client, events: u32) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..if events > 10_000 { 1 } else { 10 } {
        best = best.min(wake(bench, client, events).await?);
    }
    Ok(best)
}

/// Seconds from a signal to the end of a run whose history has to be replayed first.
async fn wake(bench: &mut Bench<'_>, client: &mut Client, events: u32) -> Result<f64> {
    let run_id = bench.stage.database.insert_naps(events).await?.to_string();
    let begun = Instant::now();
    client.signal(&run_id, "go").await?;
    client.wait("naps", &run_id).await?;
    Ok(begun.elapsed().as_secs_f64())
}

fn per(seconds: f64, events: u32) -> f64 {
    seconds / f64::from(events) * 1e6
}
