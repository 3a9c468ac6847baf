//! `windlass migrate`

use clap::Args;
use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde::Serialize;

use super::Done;
use super::client::{Client, ClientError};
use super::live_runs::LiveRuns;
use super::output;
use crate::api::{MigrateRun, Migrated};
use crate::model::{Name, RunId};

#[derive(Args, Debug)]
pub(super) struct Migrate {
    /// The runs
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    runs: Vec<RunId>,
    /// Every run of this component that is not over
    #[arg(long, value_name = "COMPONENT")]
    all: Option<Name>,
    /// The version that they are to go on with
    #[arg(long)]
    to: u32,
    /// Only say which would survive
    #[arg(long)]
    dry_run: bool,
}

/// What came of all of them.
#[derive(Debug, Default, Serialize)]
struct Tally {
    survive: usize,
    migrated: usize,
    stay: usize,
}

/// Requests at a time.
const AT_ONCE: usize = 4;

impl Migrate {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let mut tally = Tally::default();
        for run in &self.runs {
            let migrated = self.ask(client, &run.to_string()).await?;
            tally.count(client, &run.to_string(), Ok(migrated))?;
        }
        if let Some(component) = &self.all {
            let mut live = LiveRuns::of(client, component);
            let progress = output::Progress::new(live.count().await?, "migrate", client.json);
            while let Some(page) = live.next().await? {
                let asked = stream::iter(page).map(async |run| {
                    // It is there already.
                    let answer = if run.version == self.to { None } else { Some(self.ask(client, &run.run_id).await) };
                    (run.run_id, answer)
                });
                let mut asked = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
                while let Some((run, answer)) = asked.next().await {
                    progress.step();
                    let Some(answer) = answer else { continue };
                    progress.above(|| tally.count(client, &run, answer))?;
                }
            }
        }
        if client.json {
            output::json(&tally)?;
        } else {
            let Tally { survive, migrated, stay } = tally;
            output::line(format!("{survive} survive, {migrated} of them were moved; {stay} stay where they are"));
        }
        Ok(if tally.stay == 0 { Done::Well } else { Done::NotCompleted })
    }

    async fn ask(&self, client: &Client, run: &str) -> Result<Migrated, ClientError> {
        let request = client.request(Method::POST, &format!("/runs/{run}/migrate"));
        client.send(request.json(&MigrateRun { version: self.to, dry_run: self.dry_run })).await
    }
}

impl Tally {
    /// What came of one run, and a line about it.
    fn count(&mut self, client: &Client, run: &str, answer: Result<Migrated, ClientError>) -> anyhow::Result<()> {
        let migrated = match answer {
            Ok(migrated) => migrated,
            // Of many, some end meanwhile, or are busy, or cannot be tried now: the others are not to wait for that.
            Err(ClientError::Refused(problem)) if matches!(problem.status, 404 | 409 | 503) => {
                self.stay += 1;
                if !client.json {
                    output::line(format!("{run}  stays: {}", problem.detail));
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.survive += usize::from(migrated.survives);
        self.migrated += usize::from(migrated.migrated);
        self.stay += usize::from(!migrated.survives);
        if client.json {
            return output::json(&migrated);
        }
        let Migrated { from, to, events, .. } = migrated;
        output::line(match migrated.reason {
            None if migrated.migrated => format!("{run}  moved from version {from} to {to} ({events} events)"),
            None => format!("{run}  would survive ({events} events)"),
            Some(reason) => format!("{run}  stays on version {from}: {reason}"),
        });
        Ok(())
    }
}
