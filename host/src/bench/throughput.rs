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
use super::stage::HostProcess;

/// Runs to be started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load<'a> {
    pub(super) workflow: &'static str,
    pub(super) input: &'a str,
    pub(super) count: u32,
    pub(super) mode: Mode,
}

/// Steps of each workflow.
pub(super) const STEPS: u32 = 5;

/// Workflows at a time.
pub(super) const IN_FLIGHT: u32 = 512;

const WORKLOAD: &str = "throughput";

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let guests = super::pieces::seconds_per_step(&bench.stage.component, STEPS)?;
    for mode in Mode::ALL {
        let load = Load { workflow: "steps", input: &STEPS.to_string(), count: bench.scale(20_000, 2_000), mode };
        let host = bench.stage.host().await?;
        // Caches, connections and statements are warm.
        let clients = drive(connect(&host, IN_FLIGHT).await?, Load { count: 4 * IN_FLIGHT, ..load }).await?;
        bench.stage.database.settle().await?;
        let mut watcher = host.client().await?;
        let guests_before = watcher.guest_seconds().await?;
        let meter = CpuMeter::start(&[host.pid()]);
        let begun = Instant::now();
        drive(clients, load).await?;
        let (cpu, took) = (meter.read().0, begun.elapsed());
        let in_guests = watcher.guest_seconds().await? - guests_before;
        let steps = f64::from(load.count * STEPS);
        let ceiling = bench.stage.database.group_commit_rate(load.count.min(4_000)).await?;
        let figure = |metric: &str, value, unit| Figure::new(WORKLOAD, mode.name(), metric, value, unit);
        bench.say(figure("steps_per_s", steps / took.as_secs_f64(), "1/s").beside(ceiling));
        bench.say(figure("runs_per_s", f64::from(load.count) / took.as_secs_f64(), "1/s"));
        let per_step = |seconds: f64| seconds / steps * 1e6;
        bench.say(figure("cpu_per_step_host", per_step(cpu.host - in_guests), "µs"));
        bench.say(figure("cpu_per_step_guests", per_step(in_guests), "µs").beside(guests * 1e6));
        bench.say(figure("cpu_per_step_postgres", per_step(cpu.postgres), "µs"));
        bench.say(figure("cpu_per_step_load", per_step(cpu.load), "µs"));
        host.stop().await?;
    }
    Ok(())
}

/// A connection for each run in flight.
pub(super) async fn connect(host: &HostProcess, count: u32) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(host.client().await?);
    }
    Ok(clients)
}

/// Each client starts one run after the other, and waits for its end.
pub(super) async fn drive(clients: Vec<Client>, load: Load<'_>) -> Result<Vec<Client>> {
    let started = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (started, input) = (started.clone(), load.input.to_owned());
        let Load { workflow, count, mode, .. } = load;
        tasks.spawn(async move {
            while started.fetch_add(1, Ordering::Relaxed) < count {
                client.start(workflow, mode, &input, true).await?;
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

/// Start runs, each with an input of its own, and do not wait for their ends. Returns their ids.
pub(super) async fn start_all(
    host: &HostProcess,
    workflow: &'static str,
    inputs: impl Iterator<Item = String>,
) -> Result<Vec<String>> {
    let inputs: Vec<String> = inputs.collect();
    let clients = connect(host, 64).await?;
    let share = inputs.len().div_ceil(clients.len()).max(1);
    let mut tasks = JoinSet::new();
    for (mut client, inputs) in clients.into_iter().zip(inputs.chunks(share)) {
        let inputs = inputs.to_vec();
        tasks.spawn(async move {
            let mut ids = Vec::new();
            for input in inputs {
                ids.push(client.start(workflow, Mode::Default, &input, false).await?.run_id);
            }
            Result::Ok(ids)
        });
    }
    let mut all = Vec::new();
    while let Some(ids) = tasks.join_next().await {
        all.extend(ids.expect("a client does not panic")?);
    }
    Ok(all)
}
