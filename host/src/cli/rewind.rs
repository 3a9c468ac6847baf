//! `windlass rewind`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::{RewindRun, Rewound};
use crate::model::RunId;

#[derive(Args, Debug)]
pub(super) struct Rewind {
    /// The run: paused, in quarantine, or over
    run: RunId,
    /// The first event that is to be as if it had not happened; `windlass history RUN` shows them
    #[arg(long, value_name = "EVENT")]
    before: u32,
    /// Let it go on only when it is resumed
    #[arg(long)]
    pause: bool,
}

impl Rewind {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let Self { run, before, pause } = self;
        let request = client.request(Method::POST, &format!("/runs/{run}/rewind"));
        let rewound: Rewound = client.send(request.json(&RewindRun { before, pause })).await?;
        if client.json {
            output::json(&rewound)?;
            return Ok(Done::Well);
        }
        let Rewound { rewind, dropped, run: now } = rewound;
        output::line(format!("{}: {dropped} events are no part of its history any more", now.state.as_str()));
        output::line(format!("they are kept: windlass history {run} --rewind {rewind}"));
        Ok(Done::Well)
    }
}
