//! `windlass queues`

use clap::Args;

use super::client::Client;
use super::{Done, output};
use crate::api::Queues as Answer;

#[derive(Args, Debug)]
pub(super) struct Queues {}

impl Queues {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let answer: Answer = client.get("/queues").await?;
        if client.json {
            output::json(&answer)?;
            return Ok(Done::Well);
        }
        let rows = answer.queues.into_iter().map(|queue| {
            vec![queue.queue, queue.depth.to_string(), queue.oldest_at.map(output::time).unwrap_or_default()]
        });
        output::table(&["queue", "runs", "since (UTC)"], rows);
        Ok(Done::Well)
    }
}
