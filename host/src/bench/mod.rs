//! `windlass bench`: how fast this is on this machine, and how close that is to what its database and its engine can do.
//!
//! Each file is a workload; each workload is real components, on hosts that are processes of their own, on a real database
//! with `fsync` on. What they are compared to is measured in the same run.

mod bare;
mod claims;
mod client;
mod cpu;
mod database;
mod effects;
mod error;
mod figure;
mod latency;
mod loads;
mod parked;
mod pieces;
mod quantiles;
mod recovery;
mod replay;
pub mod sample;
mod sealing;
mod signal;
mod soak;
mod stage;
mod throughput;
mod timer;
mod upload;

use std::path::PathBuf;
use std::time::Duration;

pub use error::{BenchError, Result};
pub use figure::Figure;
use stage::Stage;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Steps per second.
    Throughput,
    /// One workflow alone.
    Latency,
    /// Steps that change something outside.
    Effects,
    /// From a signal to the step that it lets begin.
    Signal,
    /// How late timers are.
    Timer,
    /// What runs cost that wait.
    Parked,
    /// Bringing a run back to where it was.
    Replay,
    /// Until another host goes on with the runs of one that was killed.
    Recovery,
    /// From the bytes of a component to an instance.
    Upload,
    /// Claiming runs among many closed ones.
    Claims,
    /// What it costs to seal payloads.
    Sealing,
    /// Half the load for half an hour: nothing grows, nothing slows down.
    Soak,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Throughput,
        Self::Latency,
        Self::Effects,
        Self::Signal,
        Self::Timer,
        Self::Parked,
        Self::Replay,
        Self::Recovery,
        Self::Upload,
        Self::Claims,
        Self::Sealing,
        Self::Soak,
    ];

    /// As it is called on the command line and in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Latency => "latency",
            Self::Effects => "effects",
            Self::Signal => "signal",
            Self::Timer => "timer",
            Self::Parked => "parked",
            Self::Replay => "replay",
            Self::Recovery => "recovery",
            Self::Upload => "upload",
            Self::Claims => "claims",
            Self::Sealing => "sealing",
            Self::Soak => "soak",
        }
    }
}

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Less of everything: all workloads in three minutes.
    pub quick: bool,
    /// The component of the loads; none: built from its source.
    pub component: Option<PathBuf>,
    /// A database to use; none: a server of its own.
    pub database_url: Option<String>,
    /// Where the server of its own keeps its data: on the disk that is to be measured.
    pub folder: PathBuf,
}

/// A benchmark that is under way.
struct Bench<'a> {
    stage: Stage,
    quick: bool,
    say: &'a mut dyn FnMut(Figure),
}

/// Measure. Each figure is handed to `say` as soon as it is known.
pub async fn run(options: &Options, workloads: &[Workload], say: &mut dyn FnMut(Figure)) -> Result<()> {
    let component = loads::loads(options.component.as_deref())?;
    let stage = Stage::build(options.database_url.as_deref(), &options.folder, component).await?;
    let mut bench = Bench { stage, quick: options.quick, say };
    for workload in workloads {
        match workload {
            Workload::Throughput => throughput::run(&mut bench).await?,
            Workload::Latency => latency::run(&mut bench).await?,
            Workload::Effects => effects::run(&mut bench).await?,
            Workload::Signal => signal::run(&mut bench).await?,
            Workload::Timer => timer::run(&mut bench).await?,
            Workload::Parked => parked::run(&mut bench).await?,
            Workload::Replay => replay::run(&mut bench).await?,
            Workload::Recovery => recovery::run(&mut bench).await?,
            Workload::Upload => upload::run(&mut bench).await?,
            Workload::Claims => claims::run(&mut bench).await?,
            Workload::Sealing => sealing::run(&mut bench).await?,
            Workload::Soak => soak::run(&mut bench).await?,
        }
    }
    Ok(())
}

impl Bench<'_> {
    fn say(&mut self, figure: Figure) {
        (self.say)(figure);
    }

    /// How much of something to do.
    fn scale(&self, full: u32, quick: u32) -> u32 {
        if self.quick { quick } else { full }
    }

    /// How long to do something.
    fn scale_time(&self, full: Duration, quick: Duration) -> Duration {
        if self.quick { quick } else { full }
    }
}
