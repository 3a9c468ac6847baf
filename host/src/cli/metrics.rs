//! `windlass metrics`

use clap::Args;

use super::client::Client;
use super::{Done, output};
use crate::api::SystemMetrics;

#[derive(Args, Debug)]
pub(super) struct Metrics {}

impl Metrics {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let answer: SystemMetrics = client.get("/metrics").await?;
        if client.json {
            output::json(&answer)?;
            return Ok(Done::Well);
        }
        let rows = answer.metrics.into_iter().map(|(metric, value)| vec![metric, value.to_string()]);
        output::table(&["metric", "value"], rows);
        Ok(Done::Well)
    }
}
