//! A host is killed, and another goes on with its runs.

use std::time::Duration;

use super::Bench;
use super::error::Result;
use super::figure::Figure;
use super::throughput::start_all;

const RUNS: u32 = 1_000;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let victim = bench.stage.host().await?;
    // Each lives for about 20 s.
    start_all(&victim, "lives", (0..RUNS).map(|_| "100".to_owned())).await?;
    let heir = bench.stage.host().await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let killed_at = bench.stage.database.now().await?;
    victim.kill().await?;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let (mut times, silent) = bench.stage.database.went_on_after("lives", killed_at).await?;
    for (name, part) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let metric = format!("until_next_event_{name}");
        bench.say(Figure::new("recovery", format!("{RUNS} live runs"), metric, times.quantile_ms(part), "ms"));
    }
    bench.say(Figure::new("recovery", format!("{RUNS} live runs"), "runs_that_did_not_go_on", silent, "1"));
    heir.kill().await?;
    bench.stage.database.end_all().await
}
