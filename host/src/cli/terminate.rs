//! `windlass terminate`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::Terminate as Body;
use crate::api::view::RunView;
use crate::model::RunId;

#[derive(Args, Debug)]
pub(super) struct Terminate {
    /// The run
    run: RunId,
    /// Why, for people
    #[arg(long, default_value = "")]
    reason: String,
}

impl Terminate {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let request = client.request(Method::POST, &format!("/runs/{}/terminate", self.run));
        let run: RunView = client.send(request.json(&Body { reason: self.reason })).await?;
        if client.json {
            output::json(&run)?;
        } else {
            output::line("ended");
        }
        Ok(Done::Well)
    }
}
