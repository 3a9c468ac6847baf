//! What it costs to seal payloads: the load of `throughput`, with and without, on the same host.

use std::time::{Duration, Instant};

use super::Bench;
use super::client::{Client, Mode};
use super::cpu::CpuMeter;
use super::error::Result;
use super::figure::Figure;
use super::throughput::{IN_FLIGHT, Load, STEPS, connect, drive};

const WORKLOAD: &str = "sealing";

/// After that, a host has heard how payloads are to be kept.
const HEARD: Duration = Duration::from_secs(1);

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let host = bench.stage.host().await?;
    let input = STEPS.to_string();
    let load = Load { workflow: "steps", input: &input, count: bench.scale(20_000, 2_000), mode: Mode::Default };
    let (mut operator, mut clients) = (host.client().await?, connect(&host, IN_FLIGHT).await?);
    let mut beside = None;
    for (mode, seal) in [("open", false), ("sealed", true)] {
        seal_payloads(&mut operator, seal).await?;
        clients = drive(clients, Load { count: 4 * IN_FLIGHT, ..load }).await?;
        bench.stage.database.settle().await?;
        let (meter, begun) = (CpuMeter::start(&[host.pid()]), Instant::now());
        clients = drive(clients, load).await?;
        let (cpu, took) = (meter.read().0, begun.elapsed());
        let steps = f64::from(load.count * STEPS);
        let figures = [
            ("steps_per_s", steps / took.as_secs_f64(), "1/s"),
            ("cpu_per_step_host_and_guests", cpu.host / steps * 1e6, "µs"),
            ("cpu_per_step_postgres", cpu.postgres / steps * 1e6, "µs"),
        ];
        let without = beside.replace(figures.map(|(_, value, _)| value));
        for (index, (metric, value, unit)) in figures.into_iter().enumerate() {
            let figure = Figure::new(WORKLOAD, mode, metric, value, unit);
            bench.say(without.map_or(figure.clone(), |without| figure.beside(without[index])));
        }
    }
    seal_payloads(&mut operator, false).await?;
    host.stop().await
}

async fn seal_payloads(operator: &mut Client, seal: bool) -> Result<()> {
    operator.request("PUT", "/v1/namespaces/default", format!("{{\"seal_payloads\":{seal}}}")).await?;
    tokio::time::sleep(HEARD).await;
    Ok(())
}
