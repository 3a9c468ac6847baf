//! `windlass context`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::{Contexts, RunIds};
use crate::model::RunId;

#[derive(Args, Debug)]
pub(super) struct Context {
    /// The runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<RunId>,
}

impl Context {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let body = RunIds { run_ids: self.runs };
        let contexts: Contexts = client.send(client.request(Method::POST, "/runs/context").json(&body)).await?;
        if client.json {
            output::json(&contexts)?;
            return Ok(Done::Well);
        }
        let rows = contexts.runs.into_iter().map(|run| {
            let steps = run.steps;
            let known = steps.completed + steps.failed + steps.running + steps.retrying;
            let done = run.completion.map(|part| format!(" ({:.0} %)", part * 100.0)).unwrap_or_default();
            vec![
                run.run_id,
                run.workflow,
                run.execution_status.as_str().to_owned(),
                run.health,
                run.recommended_action,
                format!("{} of {known}{done}", steps.completed),
                steps.retrying.to_string(),
                run.events.to_string(),
                run.failure_code.unwrap_or_default(),
                run.wake_at.map(output::time).unwrap_or_default(),
            ]
        });
        let headings =
            ["run", "workflow", "state", "health", "do", "steps done", "retrying", "events", "failure", "wakes (UTC)"];
        output::table(&headings, rows);
        Ok(Done::Well)
    }
}
