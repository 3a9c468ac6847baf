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
    let (few, many) = if bench.quick { (4_000, 10_000) } else { (10_000, 100_000) };
    let [empty, with_few, with_many] = {
        let empty = measure(bench, &host).await?;
        park(bench, &host, few).await?;
        let with_few = measure(bench, &host).await?;
        park(bench, &host, many - few).await?;
        [empty, with_few, measure(bench, &host).await?]
    };
    let say = |bench: &mut Bench<'_>, mode: String, metric: &str, value: f64, unit| {
        bench.say(Figure::new(WORKLOAD, mode, metric, value, unit));
    };
    let per = |bytes: f64, count: u32| bytes / f64::from(count);
    say(bench, format!("{few}"), "memory_per_resident_run", per(with_few.memory - empty.memory, RESIDENTS), "B");
    say(bench, format!("{many}"), "memory_per_evicted_run", per(with_many.memory - with_few.memory, many - few), "B");
    say(bench, format!("{few}"), "database_bytes_per_run", per(with_few.database - empty.database, few), "B");
    say(
        bench,
        format!("{many}"),
        "database_bytes_per_run",
        per(with_many.database - with_few.database, many - few),
        "B",
    );
    idle(bench, &host, many).await?;
    host.stop().await
}

/// Guests that a host keeps in memory: see `RunConfig` and `Limits`.
const RESIDENTS: u32 = 4_096 - 1_024 - 16;

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
