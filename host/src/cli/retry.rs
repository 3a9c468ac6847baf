//! `windlass retry`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::view::RunView;
use crate::model::RunId;

#[derive(Args, Debug)]
pub(super) struct Retry {
    /// The run
    run: RunId,
}

impl Retry {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let request = client.request(Method::POST, &format!("/runs/{}/retry", self.run));
        let run: RunView = client.send(request).await?;
        if client.json {
            output::json(&run)?;
        } else {
            output::line(format!("it goes on: {}, {} events", run.state.as_str(), run.events));
        }
        Ok(Done::Well)
    }
}
