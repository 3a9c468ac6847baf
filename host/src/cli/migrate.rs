//! `windlass migrate`

use clap::Args;
use reqwest::Method;
use serde::Serialize;

use super::Done;
use super::client::{Client, ClientError};
use super::live_runs::LiveRuns;
use super::output::{self, Spinner};
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

impl Migrate {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let mut tally = Tally::default();
        for run in &self.runs {
            self.one(client, &run.to_string(), &mut tally).await?;
        }
        if let Some(component) = &self.all {
            let _spinner = Spinner::new(format!("runs of {component}"), client.json);
            let mut live = LiveRuns::of(client, component);
            while let Some(page) = live.next().await? {
                for run in page.into_iter().filter(|run| run.version != self.to) {
                    self.one(client, &run.run_id, &mut tally).await?;
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

    /// One run, and a line about it.
    async fn one(&self, client: &Client, run: &str, tally: &mut Tally) -> anyhow::Result<()> {
        let request = client.request(Method::POST, &format!("/runs/{run}/migrate"));
        let asked = MigrateRun { version: self.to, dry_run: self.dry_run };
        let migrated: Migrated = match client.send(request.json(&asked)).await {
            Ok(migrated) => migrated,
            // Of many, some end meanwhile or are too busy: the others are not to wait for that.
            Err(ClientError::Refused(problem)) if self.all.is_some() && problem.status == 409 => {
                tally.stay += 1;
                if !client.json {
                    output::line(format!("{run}  stays: {}", problem.detail));
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        tally.survive += usize::from(migrated.survives);
        tally.migrated += usize::from(migrated.migrated);
        tally.stay += usize::from(!migrated.survives);
        if client.json {
            output::json(&migrated)?;
            return Ok(());
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
