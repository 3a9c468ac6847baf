//! One workflow alone: from the client's request to the result at the client.

use std::time::{Duration, Instant};

use super::Bench;
use super::client::Mode;
use super::error::Result;
use super::figure::Figure;
use super::quantiles::Times;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let host = bench.stage.host().await?;
    let mut client = host.client().await?;
    for mode in Mode::ALL {
        for steps in [1, 10] {
            let mut times = Times::default();
            let until = bench.scale_time(Duration::from_secs(10), Duration::from_secs(2));
            let begun = Instant::now();
            while begun.elapsed() < until {
                let before = Instant::now();
                client.start("steps", mode, &steps.to_string(), true).await?;
                times.add(before.elapsed());
            }
            let mut bare = bench.stage.database.bare_commit().await?;
            for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
                let metric = format!("{steps}_steps_{name}");
                let figure = Figure::new("latency", mode.name(), metric, times.quantile_ms(part), "ms");
                bench.say(figure.beside(bare.quantile_ms(part)));
            }
        }
    }
    host.stop().await
}
