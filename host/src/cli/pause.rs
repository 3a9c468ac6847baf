//! `windlass pause` and `windlass resume`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::view::RunView;
use crate::api::{Paused, Pauses, Resumed};
use crate::model::{Name, RunId};

/// What is to be held back, or let go on.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct What {
    /// A run
    run: Option<RunId>,
    /// Every run of this workflow, and those that are started later
    #[arg(long)]
    workflow: Option<Name>,
    /// Every run of the namespace, and those that are started later
    #[arg(long)]
    all: bool,
}

impl What {
    fn path(&self, verb: &str) -> String {
        match (self.run, &self.workflow) {
            (Some(run), _) => format!("/runs/{run}/{verb}"),
            (None, Some(workflow)) => format!("/workflows/{workflow}/{verb}"),
            (None, None) => format!("/{verb}"),
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct Pause {
    #[command(flatten)]
    what: What,
}

#[derive(Args, Debug)]
pub(super) struct Resume {
    #[command(flatten)]
    what: What,
}

#[derive(Args, Debug)]
pub(super) struct ListPauses {}

impl Pause {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let request = client.request(Method::POST, &self.what.path("pause"));
        if self.what.run.is_some() {
            return show(client, &client.send(request).await?);
        }
        let paused: Paused = client.send(request).await?;
        if client.json {
            output::json(&paused)?;
        } else {
            output::line(format!("paused; hosts were at {} of its runs and let go of them", paused.running));
        }
        Ok(Done::Well)
    }
}

impl Resume {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let request = client.request(Method::POST, &self.what.path("resume"));
        if self.what.run.is_some() {
            return show(client, &client.send(request).await?);
        }
        let resumed: Resumed = client.send(request).await?;
        if client.json {
            output::json(&resumed)?;
        } else {
            output::line(format!("resumed; {} runs go on at once", resumed.ready));
        }
        Ok(Done::Well)
    }
}

impl ListPauses {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let pauses: Pauses = client.get("/pauses").await?;
        if client.json {
            output::json(&pauses)?;
            return Ok(Done::Well);
        }
        let rows = pauses.pauses.into_iter().map(|pause| {
            vec![pause.workflow.unwrap_or_else(|| "all of them".to_owned()), output::time(pause.paused_at)]
        });
        output::table(&["workflow", "paused (UTC)"], rows);
        Ok(Done::Well)
    }
}

/// Where a run stands now.
fn show(client: &Client, run: &RunView) -> anyhow::Result<Done> {
    if client.json {
        output::json(run)?;
    } else {
        output::line(run.state.as_str());
    }
    Ok(Done::Well)
}
