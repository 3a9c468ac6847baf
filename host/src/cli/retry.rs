//! `windlass retry`

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::Client;
use super::in_bulk::{Chosen, Verb};
use super::{Done, output};
use crate::api::view::RunView;
use crate::model::RunState;

#[derive(Args, Debug)]
pub(super) struct Retry {
    #[command(flatten)]
    chosen: Chosen,
}

const VERB: Verb = Verb {
    path: "retry",
    body: Value::Null,
    states: &[RunState::Quarantined],
    if_asked: &[RunState::Failed],
    done: "goes on from where it was",
};

impl Retry {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let Some(run) = self.chosen.one()? else { return self.chosen.each(client, &VERB).await };
        let request = client.request(Method::POST, &format!("/runs/{run}/retry"));
        let run: RunView = client.send(request).await?;
        if client.json {
            output::json(&run)?;
        } else {
            output::line(format!("it goes on: {}, {} events", run.state.as_str(), run.events));
        }
        Ok(Done::Well)
    }
}
