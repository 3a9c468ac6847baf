//! `windlass pause` and `windlass resume`

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::Client;
use super::in_bulk::{Chosen, Verb};
use super::{Done, output};
use crate::api::view::RunView;
use crate::api::{Paused, Pauses, Resumed};
use crate::model::RunState;

/// A run; or those that are there now and that `--all` and other flags choose. `--workflow` by itself is the workflow, and `--all` by itself
/// the namespace: they hold for what is started later, too
#[derive(Args, Debug)]
pub(super) struct Pause {
    #[command(flatten)]
    chosen: Chosen,
}

/// A run; or those that `--all` and other flags choose. `--workflow` by itself is the workflow, and `--all` by itself the namespace
#[derive(Args, Debug)]
pub(super) struct Resume {
    #[command(flatten)]
    chosen: Chosen,
}

#[derive(Args, Debug)]
pub(super) struct ListPauses {}

const PAUSE: Verb = Verb {
    path: "pause",
    body: Value::Null,
    states: &[RunState::Waiting, RunState::Ready, RunState::Running],
    if_asked: &[],
    done: "paused",
};

const RESUME: Verb =
    Verb { path: "resume", body: Value::Null, states: &[RunState::Paused], if_asked: &[], done: "resumed" };

/// Where that is asked for which holds for what is started later, too.
fn held(chosen: &Chosen, verb: &Verb) -> Option<String> {
    if chosen.is_everything() {
        return Some(format!("/{}", verb.path));
    }
    chosen.workflow().map(|workflow| format!("/workflows/{workflow}/{}", verb.path))
}

impl Pause {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let Some(path) = held(&self.chosen, &PAUSE) else { return some(client, &self.chosen, &PAUSE).await };
        let paused: Paused = client.send(client.request(Method::POST, &path)).await?;
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
        let Some(path) = held(&self.chosen, &RESUME) else { return some(client, &self.chosen, &RESUME).await };
        let resumed: Resumed = client.send(client.request(Method::POST, &path)).await?;
        if client.json {
            output::json(&resumed)?;
        } else {
            output::line(format!("resumed; {} runs go on at once", resumed.ready));
        }
        Ok(Done::Well)
    }
}

/// A run, or those that are found.
async fn some(client: &Client, chosen: &Chosen, verb: &Verb) -> anyhow::Result<Done> {
    let Some(run) = chosen.one()? else { return chosen.each(client, verb).await };
    let run: RunView = client.send(client.request(Method::POST, &format!("/runs/{run}/{}", verb.path))).await?;
    if client.json {
        output::json(&run)?;
    } else {
        output::line(run.state.as_str());
    }
    Ok(Done::Well)
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
