//! `windlass fork`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::ForkRun;
use crate::api::view::RunView;
use crate::model::RunId;

#[derive(Args, Debug)]
pub(super) struct Fork {
    /// The run, in whatever state
    run: RunId,
    /// The first event that the fork is not to have; `windlass history RUN` shows them
    #[arg(long, value_name = "EVENT")]
    before: u32,
    /// An idempotency key: the same key again is the same fork
    #[arg(long)]
    key: Option<String>,
    /// Let it begin only when it is resumed
    #[arg(long)]
    pause: bool,
}

impl Fork {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let Self { run, before, key, pause } = self;
        let request = client.request(Method::POST, &format!("/runs/{run}/fork"));
        let mut request = request.json(&ForkRun { before, pause });
        if let Some(key) = &key {
            request = request.header("Idempotency-Key", key);
        }
        let fork: RunView = client.send(request).await?;
        if client.json {
            output::json(&fork)?;
        } else {
            output::line(&fork.run_id);
        }
        Ok(Done::Well)
    }
}
