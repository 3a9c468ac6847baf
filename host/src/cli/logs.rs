//! `windlass logs`

use clap::Args;

use super::client::Client;
use super::{Done, output};
use crate::api;
use crate::model::{Level, RunId};

#[derive(Args, Debug)]
pub(super) struct Logs {
    /// The run
    run: RunId,
}

impl Logs {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let logs: api::Logs = client.get(&format!("/runs/{}/logs", self.run)).await?;
        if client.json {
            output::json(&logs)?;
            return Ok(Done::Well);
        }
        for line in logs.lines {
            let level = match line.level {
                Level::Debug => "debug",
                Level::Info => "info",
                Level::Warn => "warn",
                Level::Error => "error",
            };
            let source = line.call.map(|call| format!(" call {call}")).unwrap_or_default();
            // What a guest wrote must not steer the terminal.
            let message: String = line.message.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            output::line(format!("{} {level:5}{source} {message}", output::time(line.at)));
        }
        Ok(Done::Well)
    }
}
