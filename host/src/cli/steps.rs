//! `windlass steps`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::{RunIds, Steps as Answer};
use crate::model::RunId;

#[derive(Args, Debug)]
pub(super) struct Steps {
    /// The runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<RunId>,
}

impl Steps {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let body = RunIds { run_ids: self.runs };
        let answer: Answer = client.send(client.request(Method::POST, "/runs/steps").json(&body)).await?;
        if client.json {
            output::json(&answer)?;
            return Ok(Done::Well);
        }
        let rows = answer.steps.into_iter().map(|step| {
            let limit = step.attempt_limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
            vec![
                step.run_id,
                step.call.to_string(),
                step.step.unwrap_or_default(),
                step.state,
                format!("{}{limit}", step.attempts),
                step.next_retry_at.map(output::time).unwrap_or_default(),
                step.last_failure.map(|failure| failure.to_string()).unwrap_or_default(),
            ]
        });
        output::table(&["run", "call", "step", "state", "attempts", "next try (UTC)", "last failure"], rows);
        Ok(Done::Well)
    }
}
