//! `windlass cancel`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, signal};
use crate::api::Accepted;
use crate::model::RunId;

#[derive(Args, Debug)]
pub(super) struct Cancel {
    /// The run
    run: RunId,
}

impl Cancel {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let request = client.request(Method::POST, &format!("/runs/{}/cancel", self.run));
        let accepted: Accepted = client.send(request).await?;
        signal::report(client, &accepted, "asked to stop", "asked to stop before")
    }
}
