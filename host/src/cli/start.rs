//! `windlass start`

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use reqwest::Method;

use super::client::Client;
use super::output::Spinner;
use super::{Done, output};
use crate::api::view::RunView;
use crate::api::{StartRun, StartSignal};
use crate::model::{self, Name, Payload, Priority, Tag, Tags};

#[derive(Args, Debug)]
pub(super) struct Start {
    /// The workflow
    workflow: Name,
    /// What it is started with: JSON, or @FILE, or - for standard input
    #[arg(long, short, default_value = "null")]
    input: String,
    /// An idempotency key: the same key again is the same run
    #[arg(long)]
    key: Option<String>,
    /// When the guest sees events
    #[arg(long, value_enum, default_value_t = Durability::Output)]
    durability: Durability,
    /// How long from now it may take, as 90s, 2h or 7d: then it is asked to stop
    #[arg(long, value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// What the run is found by; several times: several tags
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<Tag>,
    /// Which runs of the namespace are taken up first when there is not room for all: 1 first, 5 last
    #[arg(long, default_value_t)]
    priority: Priority,
    /// Of the runs of the workflow that have the same key, so many may be under way at once as `concurrency set` says; others wait
    #[arg(long, value_name = "KEY")]
    concurrency_key: Option<String>,
    /// A signal that the run gets in the same moment; one that is there already, by its key, only gets the signal
    #[arg(long, value_name = "NAME")]
    signal: Option<Name>,
    /// What the signal carries: JSON, or @FILE, or - for standard input
    #[arg(long, value_name = "PAYLOAD", default_value = "null", requires = "signal")]
    signal_payload: String,
    /// The id of the signal: the same id again is the same signal
    #[arg(long, value_name = "ID", requires = "signal")]
    signal_id: Option<String>,
    /// Wait for the end of the run, and show it
    #[arg(long, short)]
    wait: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Durability {
    /// As soon as they are there; what follows from them leaves the host after they are committed
    Output,
    /// After they are committed
    Strict,
}

impl Start {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let input = payload(&self.input).await.context("--input")?;
        let durability = self.durability.into();
        let tags = Tags::collect(self.tags).context("--tag")?;
        let signal_payload = payload(&self.signal_payload).await.context("--signal-payload")?;
        let (payload, id) = (signal_payload, self.signal_id);
        let signal = self.signal.map(|name| StartSignal { name, payload, id });
        let (timeout, priority, concurrency_key) = (self.timeout, self.priority, self.concurrency_key);
        let workflow = self.workflow;
        let body = StartRun { workflow, input, durability, timeout, tags, priority, concurrency_key, signal };
        let mut request = client.request(Method::POST, "/runs").json(&body);
        if let Some(key) = &self.key {
            request = request.header("Idempotency-Key", key);
        }
        let started: RunView = client.send(request).await?;
        if !self.wait {
            if client.json {
                return output::run(&started, true);
            }
            output::line(&started.run_id);
            return Ok(Done::Well);
        }
        let run = {
            let _spinner = Spinner::new(format!("run {} of {}", started.run_id, started.workflow), client.json);
            client.wait_for_end(&started.run_id).await?
        };
        output::run(&run, client.json)
    }
}

impl From<Durability> for model::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Output => Self::Output,
            Durability::Strict => Self::Strict,
        }
    }
}

/// A document from the command line.
pub(super) async fn payload(text: &str) -> anyhow::Result<Payload> {
    let bytes = match text.strip_prefix('@') {
        Some(file) => tokio::fs::read(file).await.with_context(|| format!("cannot read {file}"))?,
        None if text == "-" => {
            let mut bytes = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut tokio::io::stdin(), &mut bytes).await?;
            bytes
        }
        None => text.as_bytes().to_vec(),
    };
    // The host knows its limit; here it only has to be a document.
    Ok(Payload::new(bytes, usize::MAX)?)
}
