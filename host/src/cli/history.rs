//! `windlass history`

use clap::Args;
use futures_util::StreamExt as _;

use super::client::{Client, ClientError};
use super::{Done, output};
use crate::api;
use crate::api::view::{AttemptView, EventView, RunView};
use crate::model::{Payload, RunId};

#[derive(Args, Debug)]
pub(super) struct History {
    /// The run
    run: RunId,
    /// Go on until its end
    #[arg(long, short)]
    follow: bool,
    /// Instead of its history, the events that this rewind has taken out of it
    #[arg(long, value_name = "NUMBER", conflicts_with = "follow")]
    rewind: Option<u32>,
}

impl History {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        if self.follow {
            return follow(client, self.run).await;
        }
        let history = whole_history(client, self.run, self.rewind).await?;
        if client.json {
            output::json(&history)?;
            return Ok(Done::Well);
        }
        let api::History { events, attempts, .. } = history;
        output::table(&output::EVENT_HEADINGS, events.iter().map(output::event_cells));
        let failed: Vec<_> = attempts.iter().filter(|attempt| attempt.failure.is_some()).collect();
        if !failed.is_empty() {
            output::line("\nfailed attempts");
            output::table(&["call", "attempt", "failed at (UTC)", "failure"], failed.into_iter().map(attempt_cells));
        }
        Ok(Done::Well)
    }
}

/// What has happened to a run, all parts of it; or what one of its rewinds has dropped of it.
pub(super) async fn whole_history(
    client: &Client,
    run: RunId,
    rewind: Option<u32>,
) -> Result<api::History, ClientError> {
    let which = rewind.map(|rewind| format!("&rewind={rewind}")).unwrap_or_default();
    let mut whole = api::History { run: None, events: Vec::new(), attempts: Vec::new(), next: Some(0) };
    while let Some(first) = whole.next {
        let part: api::History = client.get(&format!("/runs/{run}/history?first={first}{which}")).await?;
        whole.events.extend(part.events);
        whole.run = whole.run.or(part.run);
        (whole.attempts, whole.next) = (part.attempts, part.next);
    }
    Ok(whole)
}

fn attempt_cells(attempt: &AttemptView) -> Vec<String> {
    vec![
        attempt.call.to_string(),
        attempt.attempt.to_string(),
        attempt.ended_at.map(output::time).unwrap_or_default(),
        attempt.failure.as_ref().map(ToString::to_string).unwrap_or_default(),
    ]
}

/// Every entry as it comes, until the run has ended.
async fn follow(client: &Client, run_id: RunId) -> anyhow::Result<Done> {
    let mut events = client.follow(&format!("/runs/{run_id}/follow")).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        if client.json {
            output::line(&event.data);
        }
        match &*event.event {
            "event" if !client.json => {
                let event: EventView = decode(&event.data)?;
                let cells = output::event_cells(&event);
                output::line(format!("{}  {:6} {:12} {}", cells[1], cells[2], cells[3], cells[7]));
            }
            "attempt" if !client.json => {
                let attempt: AttemptView = decode(&event.data)?;
                let failure = attempt.failure.map(|failure| failure.to_string()).unwrap_or_default();
                let when = attempt.ended_at.map(output::time).unwrap_or_default();
                output::line(format!("{when}  attempt {} of call {} failed: {failure}", attempt.attempt, attempt.call));
            }
            "state" if !client.json => {
                let run: RunView = decode(&event.data)?;
                output::line(format!("{:23}  {}", "", run.state.as_str()));
            }
            "end" => {
                let run: RunView = decode(&event.data)?;
                let result = run.result.as_ref().or(run.failure.as_ref()).or(run.report.as_ref()).map(Payload::as_str);
                let line = format!("{:23}  {} {}", "", run.state.as_str(), result.unwrap_or_default());
                return if client.json { output::run(&run, true) } else { Ok(output::run_ended(&run, &line)) };
            }
            _ => {}
        }
    }
    anyhow::bail!("the host went away before the run ended")
}

fn decode<T: serde::de::DeserializeOwned>(data: &str) -> Result<T, ClientError> {
    serde_json::from_str(data).map_err(|error| ClientError::NotUnderstood(error.to_string()))
}
