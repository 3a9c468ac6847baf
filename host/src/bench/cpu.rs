//! Where the processors' time goes: into the host and its guests, the database, or the load.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// Seconds of processor time since some moment, by what it was used for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    /// The host, with the guests, which compute among its tasks.
    pub(super) host: f64,
    /// The database server, all processes.
    pub(super) postgres: f64,
    /// The benchmark itself: making requests, reading answers.
    pub(super) load: f64,
}

/// Measures from now on.
#[derive(Debug)]
pub(super) struct CpuMeter {
    hosts: Vec<u32>,
    before: Cpu,
    begun: Instant,
}

/// How `/proc` counts: `sysconf(_SC_CLK_TCK)` is 100 on every Linux that wasmtime supports.
const TICKS_PER_SECOND: f64 = 100.0;

impl CpuMeter {
    /// Of these host processes, of this one, and of all servers that are named `postgres`.
    pub(super) fn start(hosts: &[u32]) -> Self {
        Self { hosts: hosts.to_vec(), before: Cpu::now(hosts), begun: Instant::now() }
    }

    /// What was used since the start, and how long that is ago.
    pub(super) fn read(&self) -> (Cpu, Duration) {
        let now = Cpu::now(&self.hosts);
        let used = Cpu {
            host: now.host - self.before.host,
            postgres: now.postgres - self.before.postgres,
            load: now.load - self.before.load,
        };
        (used, self.begun.elapsed())
    }
}

impl Cpu {
    fn now(hosts: &[u32]) -> Self {
        let processes = processes();
        let of = |pid: u32| processes.get(&pid).map_or(0.0, |process| process.seconds);
        let postgres = processes.values().filter(|process| process.name == "postgres").map(|process| process.seconds);
        Self { host: hosts.iter().map(|pid| of(*pid)).sum(), postgres: postgres.sum(), load: of(std::process::id()) }
    }
}

struct Process {
    name: String,
    seconds: f64,
}

/// All processes that can be seen. The time of those that have ended is their parents'.
fn processes() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, stat(&format!("/proc/{pid}/stat"))?))).collect()
}

/// User and system time, its own and that of its children that have ended.
fn stat(path: &str) -> Option<Process> {
    let text = fs::read_to_string(path).ok()?;
    // The name may have blanks and parentheses in it.
    let (before, after) = text.rsplit_once(')')?;
    let name = before.split_once('(')?.1.to_owned();
    let ticks = after.split_whitespace().skip(11).take(4).map(|field| field.parse::<f64>().unwrap_or(0.0));
    Some(Process { name, seconds: ticks.sum::<f64>() / TICKS_PER_SECOND })
}
