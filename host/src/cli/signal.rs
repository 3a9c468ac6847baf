//! `windlass signal`

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output, start};
use crate::api::Accepted;
use crate::model::{Name, RunId};

#[derive(Args, Debug)]
pub(super) struct Signal {
    /// The run
    run: RunId,
    /// The signal's name
    name: Name,
    /// What it carries: JSON, or @FILE, or - for standard input
    #[arg(default_value = "null")]
    payload: String,
    /// An id: the same id again is the same signal
    #[arg(long)]
    id: Option<String>,
}

impl Signal {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let payload = start::payload(&self.payload).await.context("the payload")?;
        let path = format!("/runs/{}/signals/{}", self.run, self.name);
        let mut request = client.request(Method::POST, &path).body(payload.as_bytes().clone());
        if let Some(id) = &self.id {
            request = request.header("Idempotency-Key", id);
        }
        let accepted: Accepted = client.send(request).await?;
        report(client, &accepted, "sent", "sent before")
    }
}

pub(super) fn report(client: &Client, accepted: &Accepted, new: &str, old: &str) -> anyhow::Result<Done> {
    if client.json {
        output::json(accepted)?;
    } else {
        output::line(if accepted.is_new { new } else { old });
    }
    Ok(Done::Well)
}
