//! `windlass quarantine`

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::client::Client;
use super::live_runs::LiveRuns;
use super::run_flags::RunFlags;
use super::{Done, output};
use crate::model::RunState;
use crate::run::advice;

#[derive(Args, Debug)]
pub(super) struct Quarantine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the runs that cannot go on: why, since when, how often, and what to do
    List {
        #[command(flatten)]
        runs: RunFlags,
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
}

impl Quarantine {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let Verb::List { runs, limit } = self.verb;
        let mut chosen = runs.query();
        chosen.retain(|(name, _)| *name != "state");
        let mut pages = LiveRuns::chosen(client, chosen, &[RunState::Quarantined]);
        let mut found = Vec::new();
        while found.len() <= limit
            && let Some(page) = pages.next().await?
        {
            found.extend(page);
        }
        let is_whole = found.len() <= limit;
        found.truncate(limit);
        if client.json {
            found.iter().try_for_each(output::json)?;
            return Ok(Done::Well);
        }
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let rows: Vec<_> = found
            .into_iter()
            .map(|run| {
                let code = run.failure_code.unwrap_or_default();
                *reasons.entry(code.clone()).or_default() += 1;
                let since = run.quarantined_at.map(output::time).unwrap_or_default();
                vec![run.run_id, run.workflow, run.version.to_string(), code, since, run.quarantines.to_string()]
            })
            .collect();
        output::table(&["run", "workflow", "version", "why", "since (UTC)", "times"], rows);
        for (code, runs) in reasons {
            output::line(format!("\n{code}, {runs} of these: {}", advice(&code)));
        }
        if !is_whole {
            output::line(format!("\nthere are more than these {limit}: --limit, `windlass count --state quarantined`"));
        }
        Ok(Done::Well)
    }
}
