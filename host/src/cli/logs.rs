//! `windlass logs`

use clap::{Args, ValueEnum};

use super::client::Client;
use super::{Done, output};
use crate::api;
use crate::api::view::LogView;
use crate::model::{self, RunId};

#[derive(Args, Debug)]
pub(super) struct Logs {
    /// The run
    run: RunId,
    /// Go on until the run has ended
    #[arg(long, short)]
    follow: bool,
    /// Only lines that matter at least so much
    #[arg(long, value_enum, default_value_t = Level::Debug)]
    level: Level,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Logs {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let level = self.level.to_possible_value().map(|level| level.get_name().to_owned()).unwrap_or_default();
        let wait = if self.follow { "30s" } else { "0s" };
        let mut after = 0;
        loop {
            let path = format!("/runs/{}/logs?after={after}&level={level}&wait={wait}", self.run);
            let page: api::Logs = client.get(&path).await?;
            for line in &page.lines {
                if client.json {
                    output::json(line)?;
                } else {
                    print(line);
                }
            }
            // Without --follow, up to where there is nothing more for now.
            if page.is_over || (!self.follow && page.lines.is_empty()) {
                return Ok(Done::Well);
            }
            after = page.next;
        }
    }
}

fn print(line: &LogView) {
    let level = match line.level {
        model::Level::Debug => "debug",
        model::Level::Info => "info",
        model::Level::Warn => "warn",
        model::Level::Error => "error",
    };
    let source = line.call.map(|call| format!(" call {call}")).unwrap_or_default();
    // What a guest wrote must not steer the terminal.
    let message: String = line.message.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    output::line(format!("{} {level:5}{source} {message}", output::time(line.at)));
}
