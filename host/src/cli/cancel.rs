//! `windlass cancel`

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::Client;
use super::in_bulk::{Chosen, Verb};
use super::{Done, signal};
use crate::api::Accepted;
use crate::model::RunState;

#[derive(Args, Debug)]
pub(super) struct Cancel {
    #[command(flatten)]
    chosen: Chosen,
}

const VERB: Verb = Verb {
    path: "cancel",
    body: Value::Null,
    states: &[RunState::Waiting, RunState::Paused, RunState::Ready, RunState::Running],
    if_asked: &[],
    done: "asked to stop",
};

impl Cancel {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let Some(run) = self.chosen.one()? else { return self.chosen.each(client, &VERB).await };
        let request = client.request(Method::POST, &format!("/runs/{run}/cancel"));
        let accepted: Accepted = client.send(request).await?;
        signal::report(client, &accepted, "asked to stop", "asked to stop before")
    }
}
