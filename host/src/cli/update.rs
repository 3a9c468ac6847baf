//! `windlass update`

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::output::Spinner;
use super::{Done, output, start};
use crate::api::UpdateView;
use crate::model::{Name, RunId};

#[derive(Args, Debug)]
pub(super) struct Update {
    /// The run
    run: RunId,
    /// The update's name
    name: Name,
    /// What it carries: JSON, or @FILE, or - for standard input
    #[arg(default_value = "null")]
    payload: String,
    /// An id: the same id again is the same update, with the same answer
    #[arg(long)]
    id: Option<String>,
}

impl Update {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let payload = start::payload(&self.payload).await.context("the payload")?;
        let path = format!("/runs/{}/updates/{}?wait=30s", self.run, self.name);
        // Always with an id: what is sent again while it waits is the same update.
        let id = self.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let _spinner = Spinner::new(format!("waiting for the answer of {}", self.run), client.json);
        let update = loop {
            let request = client.request(Method::POST, &path).header("Idempotency-Key", &id);
            let update: UpdateView = client.send(request.body(payload.as_bytes().clone())).await?;
            if update.answered_at.is_some() {
                break update;
            }
        };
        if client.json {
            output::json(&update)?;
        } else if let Some(result) = &update.result {
            output::line(result.as_str());
        } else if let Some(failure) = &update.failure {
            output::line(failure.to_string());
        }
        Ok(if update.failure.is_none() { Done::Well } else { Done::NotCompleted })
    }
}
