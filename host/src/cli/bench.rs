//! `windlass bench`

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use super::{Done, output};
use crate::bench::{self, Figure, Options, Workload};
use crate::serve;

/// Measure how fast this is on this machine, and how close that is to what its database can do.
#[derive(Args, Debug)]
pub(super) struct Bench {
    /// What to measure; nothing is everything
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// Less of everything: done in three minutes
    #[arg(long)]
    quick: bool,
    /// The component of the loads; none: built from `examples/bench` of the checkout that this program was built in
    #[arg(long, value_name = "FILE.wasm")]
    component: Option<PathBuf>,
    /// Where a database server of its own keeps its data meanwhile: on the disk that is to be measured
    #[arg(long, default_value = "/var/tmp")]
    data_dir: PathBuf,
    /// A database to use instead. The schema `windlass_bench` in it is dropped
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

impl Bench {
    pub(super) async fn run(self, json: bool) -> anyhow::Result<Done> {
        let workloads = self.workloads()?;
        let options = Options {
            quick: self.quick,
            component: self.component,
            database_url: self.database_url,
            folder: self.data_dir,
        };
        let mut figures = Vec::new();
        let mut say = |figure: Figure| {
            if !json {
                eprintln!("{}", cells(&figure).join(" "));
            }
            figures.push(figure);
        };
        let stop = serve::stop_signal()?;
        tokio::select! {
            done = bench::run(&options, &workloads, &mut say) => done?,
            // Hosts, server and folder go with the benchmark.
            () = stop.cancelled() => bail!("stopped"),
        }
        if json {
            output::json(&figures)?;
        } else {
            let headings = ["workload", "mode", "metric", "value", "unit", "ceiling", "ratio"];
            output::table(&headings, figures.iter().map(cells));
        }
        Ok(Done::Well)
    }

    fn workloads(&self) -> anyhow::Result<Vec<Workload>> {
        if self.all || self.workloads.is_empty() {
            return Ok(Workload::ALL.to_vec());
        }
        let named = |name: &String| match Workload::ALL.into_iter().find(|workload| workload.name() == name) {
            Some(workload) => Ok(workload),
            None => bail!("there is no workload `{name}`; there are {}", Workload::ALL.map(Workload::name).join(", ")),
        };
        self.workloads.iter().map(named).collect()
    }
}

fn cells(figure: &Figure) -> Vec<String> {
    let ceiling = figure.ceiling.map(number).unwrap_or_default();
    let ratio = figure.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
    let (value, unit) = (number(figure.value), figure.unit.to_owned());
    vec![figure.workload.to_owned(), figure.mode.clone(), figure.metric.clone(), value, unit, ceiling, ratio]
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
