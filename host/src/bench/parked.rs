//! What runs cost that wait: memory of the host, bytes of the database, and the time of both while nothing happens.

use std::fs;
use std::time::Duration;

use super::Bench;
use super::cpu::CpuMeter;
use super::error::Result;
use super::figure::Figure;
use super::stage::HostProcess;
use super::throughput::start_all;

const WORKLOAD: &str = "parked";

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let host = bench.stage.host().await?;
    // Everything that is there once is there.
    park(bench, &host, 100).await?;
    // As many as stay in memory, more than do, and many.
    let counts = if bench.quick { [1_000, 1_500, 3_000] } else { [2_000, 10_000, 100_000] };
    let mut sizes = vec![measure(bench, &host).await?];
    let mut parked = 0;
    for count in counts {
        park(bench, &host, count - parked).await?;
        parked = count;
        sizes.push(measure(bench, &host).await?);
    }
    let [few, some, many] = counts;
    let each = |bytes: fn(&Size) -> f64, more: usize, less: usize, runs: u32| {
        (bytes(&sizes[more]) - bytes(&sizes[less])) / f64::from(runs)
    };
    let resident = each(|size| size.memory, 1, 0, few);
    let evicted = each(|size| size.memory, 3, 2, many - some);
    let database = each(|size| size.database, 3, 2, many - some);
    bench.say(Figure::new(WORKLOAD, format!("{few} runs"), "memory_per_resident_run", resident, "B"));
    let (memory_of_some, database_of_some) =
        (each(|size| size.memory, 2, 0, some), each(|size| size.database, 2, 0, some));
    bench.say(Figure::new(WORKLOAD, format!("{some} runs"), "memory_per_run", memory_of_some, "B"));
    bench.say(Figure::new(WORKLOAD, format!("{some} runs"), "database_bytes_per_run", database_of_some, "B"));
    bench.say(Figure::new(WORKLOAD, format!("{many} runs"), "memory_per_evicted_run", evicted, "B"));
    bench.say(Figure::new(WORKLOAD, format!("{many} runs"), "database_bytes_per_run", database, "B"));
    idle(bench, &host, many).await?;
    host.stop().await
}

async fn park(bench: &mut Bench<'_>, host: &HostProcess, count: u32) -> Result<()> {
    start_all(host, "awaits", (0..count).map(|_| "null".to_owned())).await?;
    while bench.stage.database.owned_runs().await? > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

struct Size {
    memory: f64,
    database: f64,
}

async fn measure(bench: &mut Bench<'_>, host: &HostProcess) -> Result<Size> {
    // Dead rows are the vacuum's, not the runs'.
    bench.stage.database.vacuum().await?;
    Ok(Size { memory: memory(host), database: bench.stage.database.size().await? })
}

/// What the host costs by the second while it owns runs that wait.
async fn idle(bench: &mut Bench<'_>, host: &HostProcess, runs: u32) -> Result<()> {
    let time = bench.scale_time(Duration::from_secs(30), Duration::from_secs(5));
    // Long enough for everything to have come to rest, and for the server to have counted what was done before: sessions that
    // are idle say so after ten seconds.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let before = bench.stage.database.transactions().await?;
    let meter = CpuMeter::start(&[host.pid()]);
    tokio::time::sleep(time).await;
    let (cpu, took) = meter.read();
    let seconds = took.as_secs_f64();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let queries = (bench.stage.database.transactions().await? - before) / (seconds + 2.0);
    let mode = format!("{runs} idle");
    bench.say(Figure::new(WORKLOAD, &*mode, "queries_per_s", queries, "1/s"));
    bench.say(Figure::new(WORKLOAD, &*mode, "cpu_host", cpu.host / seconds * 100.0, "% of a core"));
    bench.say(Figure::new(WORKLOAD, &*mode, "cpu_postgres", cpu.postgres / seconds * 100.0, "% of a core"));
    Ok(())
}

/// Bytes of memory that are the process's own.
pub(super) fn memory(host: &HostProcess) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", host.pid())).unwrap_or_default();
    let kib =
        rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) * 1024.0
}
