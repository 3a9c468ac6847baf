//! Bringing a run back to where it was: from its history in memory, and from the database until it goes on.

use std::time::Instant;

use super::Bench;
use super::error::Result;
use super::figure::Figure;
use super::pieces;

const WORKLOAD: &str = "replay";

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let all = [10, 1_000, 10_000, 100_000, 1_000_000];
    let lengths = if bench.quick { &all[..4] } else { &all[..] };
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
    for &length in lengths {
        let run_id = bench.stage.database.insert_naps(length).await?.to_string();
        let begun = Instant::now();
        client.signal(&run_id, "go").await?;
        client.wait("naps", &run_id).await?;
        let seconds = begun.elapsed().as_secs_f64();
        let mode = format!("{length} events");
        bench.say(Figure::new(WORKLOAD, mode, "time_per_event_from_database", per(seconds, length), "µs"));
    }
    host.stop().await
}

fn per(seconds: f64, events: u32) -> f64 {
    seconds / f64::from(events) * 1e6
}
