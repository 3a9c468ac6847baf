//! `windlass terminate`

use clap::Args;
use reqwest::Method;
use serde_json::json;

use super::client::Client;
use super::in_bulk::{Chosen, Verb};
use super::{Done, output};
use crate::api::Terminate as Body;
use crate::api::view::RunView;
use crate::model::RunState;

#[derive(Args, Debug)]
pub(super) struct Terminate {
    #[command(flatten)]
    chosen: Chosen,
    /// Why, for people
    #[arg(long, default_value = "")]
    reason: String,
}

const STATES: &[RunState] =
    &[RunState::Quarantined, RunState::Waiting, RunState::Paused, RunState::Ready, RunState::Running];

impl Terminate {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let Some(run) = self.chosen.one()? else {
            let verb = Verb {
                path: "terminate",
                body: json!({ "reason": self.reason }),
                states: STATES,
                if_asked: &[],
                done: "ended",
            };
            return self.chosen.each(client, &verb).await;
        };
        let request = client.request(Method::POST, &format!("/runs/{run}/terminate"));
        let run: RunView = client.send(request.json(&Body { reason: self.reason })).await?;
        if client.json {
            output::json(&run)?;
        } else {
            output::line("ended");
        }
        Ok(Done::Well)
    }
}
