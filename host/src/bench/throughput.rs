//! W(N, S, C): N workflows of S steps of about 100 bytes each, C of them at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;

use super::Bench;
use super::client::{Client, Mode};
use super::cpu::CpuMeter;
use super::error::Result;
use super::figure::Figure;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) workflows: u32,
    pub(super) steps: u32,
    pub(super) in_flight: u32,
}

const WORKLOAD: &str = "throughput";

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let load = Load { workflows: bench.scale(20_000, 4_000), steps: 5, in_flight: 512 };
    for mode in Mode::ALL {
        let host = bench.stage.host().await?;
        let clients = connect(&host, load.in_flight).await?;
        // Caches, connections and statements are warm.
        let clients = drive(clients, mode, Load { workflows: load.in_flight, ..load }).await?;
        bench.stage.database.settle().await?;
        let meter = CpuMeter::start(&[host.pid()]);
        let begun = Instant::now();
        drive(clients, mode, load).await?;
        let (cpu, took) = (meter.read().0, begun.elapsed());
        let steps = f64::from(load.workflows * load.steps);
        let ceiling = bench.stage.database.group_commit_rate(load.workflows.min(4_000)).await?;
        let figure = |metric: &str, value, unit| Figure::new(WORKLOAD, mode.name(), metric, value, unit);
        bench.say(figure("steps_per_s", steps / took.as_secs_f64(), "1/s").beside(ceiling));
        bench.say(figure("runs_per_s", f64::from(load.workflows) / took.as_secs_f64(), "1/s"));
        for (part, seconds) in
            [("host", cpu.host), ("guests", cpu.guests), ("postgres", cpu.postgres), ("load", cpu.load)]
        {
            bench.say(figure(&format!("cpu_per_step_{part}"), seconds / steps * 1e6, "µs"));
        }
        host.stop().await?;
    }
    Ok(())
}

/// A connection for each run in flight.
pub(super) async fn connect(host: &super::stage::HostProcess, count: u32) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(host.client().await?);
    }
    Ok(clients)
}

/// Each client starts one run after the other, and waits for its end.
pub(super) async fn drive(clients: Vec<Client>, mode: Mode, load: Load) -> Result<Vec<Client>> {
    let started = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let started = started.clone();
        tasks.spawn(async move {
            while started.fetch_add(1, Ordering::Relaxed) < load.workflows {
                client.start("steps", mode, &load.steps.to_string(), true).await?;
            }
            Result::Ok(client)
        });
    }
    let mut clients = Vec::new();
    while let Some(client) = tasks.join_next().await {
        clients.push(client.expect("a client does not panic")?);
    }
    Ok(clients)
}
