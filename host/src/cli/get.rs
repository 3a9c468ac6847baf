//! `windlass get`

use clap::Args;

use super::Done;
use super::client::Client;
use super::output::{self, Spinner};
use crate::api::PublishedState;
use crate::api::view::RunView;
use crate::model::RunId;

#[derive(Args, Debug)]
pub(super) struct Get {
    /// The run
    run: RunId,
    /// Wait for its end
    #[arg(long, short)]
    wait: bool,
}

impl Get {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let path = format!("/runs/{}", self.run);
        let run: RunView = if self.wait {
            let _spinner = Spinner::new(format!("run {}", self.run), client.json);
            client.wait_for_end(&self.run.to_string()).await?
        } else {
            client.get(&path).await?
        };
        let done = output::run(&run, client.json)?;
        if !client.json {
            let state: PublishedState = client.get(&format!("{path}/state")).await?;
            for (key, published) in state.values {
                output::line(format!("shows     {key} = {}", published.value.as_str()));
            }
        }
        Ok(if self.wait { done } else { Done::Well })
    }
}
