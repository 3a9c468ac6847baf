//! How late timers are: from the time that was asked for to the step that comes after it.

use std::time::Duration;

use super::Bench;
use super::error::Result;
use super::figure::Figure;
use super::signal::micros_now;
use super::throughput::start_all;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let thousand = bench.scale(10_000, 2_000);
    at_once(bench, 1_000, "1000 due at once").await?;
    at_once(bench, thousand, if bench.quick { "2000 due at once" } else { "10000 due at once" }).await?;
    let (count, mode) = if bench.quick { (500, "500 at 100/s") } else { (10_000, "10000 at 100/s") };
    spread(bench, count, mode).await
}

/// So many runs that wake in the same moment.
async fn at_once(bench: &mut Bench<'_>, count: u32, mode: &str) -> Result<()> {
    // Time enough to start them all, and to let go of them.
    let due = micros_now() + u64::from(count) * 800 + 2_000_000;
    let mut late = lateness(bench, (0..count).map(|_| due)).await?;
    bench.say(Figure::new("timer", mode, "drained_after", late.quantile_ms(1.0), "ms"));
    bench.say(Figure::new("timer", mode, "lateness_p50", late.quantile_ms(0.5), "ms"));
    Ok(())
}

/// So many runs that wake one after the other, 10 ms apart.
async fn spread(bench: &mut Bench<'_>, count: u32, mode: &str) -> Result<()> {
    let first = micros_now() + u64::from(count) * 800 + 2_000_000;
    let mut late = lateness(bench, (0..u64::from(count)).map(|number| first + number * 10_000)).await?;
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        bench.say(Figure::new("timer", mode, format!("lateness_{name}"), late.quantile_ms(part), "ms"));
    }
    Ok(())
}

async fn lateness(bench: &mut Bench<'_>, due: impl Iterator<Item = u64>) -> Result<super::quantiles::Times> {
    let host = bench.stage.host().await?;
    let started = start_all(&host, "sleeps_until", due.map(|due| due.to_string())).await?;
    while bench.stage.database.open_runs("sleeps_until").await? > 0 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let late = bench.stage.database.lateness("sleeps_until", started.len()).await?;
    host.stop().await?;
    Ok(late)
}
