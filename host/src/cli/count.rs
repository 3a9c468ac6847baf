//! `windlass count`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::run_flags::RunFlags;
use super::{Done, output};
use crate::api::RunCountView;

#[derive(Args, Debug)]
pub(super) struct Count {
    #[command(flatten)]
    runs: RunFlags,
}

impl Count {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let query = self.runs.query();
        let count: RunCountView = client.send(client.request(Method::GET, "/runs/count").query(&query)).await?;
        if client.json {
            output::json(&count)?;
        } else if count.is_exact {
            output::line(count.runs.to_string());
        } else {
            output::line(format!("{} or more", count.runs));
        }
        Ok(Done::Well)
    }
}
