//! `windlass schedule`

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use reqwest::Method;

use super::client::Client;
use super::start::{Durability, payload};
use super::{Done, output};
use crate::api::{Backfill, Backfilled, PutSchedule, SchedulePage, ScheduleView, Triggered};
use crate::model::{Name, Overlap, Priority, SpecText, Tag, Tags, Timestamp};

#[derive(Args, Debug)]
pub(super) struct Schedule {
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// Make a schedule, or change one
    Put(Box<Put>),
    /// Show a schedule, its next ticks, and what became of the last ones
    Get(Named),
    /// List schedules by name
    List(List),
    /// Forget a schedule; its runs go on
    Delete(Named),
    /// Let a schedule start nothing until it is resumed
    Pause(Named),
    /// Let a schedule go on that was paused, from its next tick on
    Resume(Named),
    /// Start a run of a schedule now
    Trigger(Named),
    /// Start the runs of all ticks of a range that have none
    Backfill(Range),
}

#[derive(Args, Debug)]
struct Named {
    /// The schedule
    name: Name,
}

#[derive(Args, Debug)]
struct Put {
    /// The schedule
    name: Name,
    /// The workflow that it starts
    workflow: Name,
    /// When it ticks: minute, hour, day of month, month and day of week, as in "0 9 * * 1-5"
    #[arg(long, value_name = "PATTERN", required_unless_present_any = ["every", "at"], conflicts_with_all = ["every", "at"])]
    cron: Option<String>,
    /// The time zone of the pattern, such as Europe/Berlin
    #[arg(long, value_name = "NAME", requires = "cron")]
    time_zone: Option<String>,
    /// How often it ticks, as 15m or 1h
    #[arg(long, value_name = "DURATION", conflicts_with = "at")]
    every: Option<String>,
    /// The first tick, as 2026-12-01T08:30:00Z; without it, 1h means every full hour UTC
    #[arg(long, value_name = "TIME", requires = "every")]
    from: Option<DateTime<Utc>>,
    /// Tick once, at this time
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime<Utc>>,
    /// What runs are started with: JSON, or @FILE, or - for standard input
    #[arg(long, short, default_value = "null")]
    input: String,
    /// What becomes of a tick while the run of an earlier one is open: skip, buffer-one, cancel or allow
    #[arg(long, default_value_t = Overlap::Skip)]
    overlap: Overlap,
    /// By how much ticks may be late, each by a length of its own
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    jitter: Duration,
    /// How late a tick may be and still start its run
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "1h")]
    catch_up: Duration,
    /// When guests see events
    #[arg(long, value_enum, default_value_t = Durability::Output)]
    durability: Durability,
    /// How long a run may take, as 90s, 2h or 7d: then it is asked to stop
    #[arg(long, value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// What runs are found by; several times: several tags
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<Tag>,
    /// Which runs of the namespace are taken up first when there is not room for all: 1 first, 5 last
    #[arg(long, default_value_t)]
    priority: Priority,
    /// Of the runs of the workflow that have the same key, so many may be under way at once as `concurrency set` says; others wait
    #[arg(long, value_name = "KEY")]
    concurrency_key: Option<String>,
}

#[derive(Args, Debug)]
struct List {
    /// How many at most, up to 200
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on where the last page ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Args, Debug)]
struct Range {
    /// The schedule
    name: Name,
    /// From this time on, as 2026-11-01T00:00:00Z
    from: DateTime<Utc>,
    /// Up to this time, which is not in the future
    to: DateTime<Utc>,
}

impl Schedule {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        match self.command {
            ScheduleCommand::Put(put) => put.run(client).await,
            ScheduleCommand::Get(Named { name }) => show(&client.get(&path(&name, "")).await?, client.json),
            ScheduleCommand::List(list) => list.run(client).await,
            ScheduleCommand::Delete(Named { name }) => {
                client.tell(client.request(Method::DELETE, &path(&name, ""))).await?;
                if !client.json {
                    output::line("deleted; its runs go on");
                }
                Ok(Done::Well)
            }
            ScheduleCommand::Pause(Named { name }) => change(client, &path(&name, "/pause")).await,
            ScheduleCommand::Resume(Named { name }) => change(client, &path(&name, "/resume")).await,
            ScheduleCommand::Trigger(Named { name }) => {
                let triggered: Triggered = client.send(client.request(Method::POST, &path(&name, "/trigger"))).await?;
                if client.json {
                    output::json(&triggered)?
                } else {
                    output::line(&triggered.run_id)
                }
                Ok(Done::Well)
            }
            ScheduleCommand::Backfill(range) => range.run(client).await,
        }
    }
}

impl Put {
    async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let input = payload(&self.input).await.context("--input")?;
        let spec = SpecText {
            cron: self.cron,
            time_zone: self.time_zone,
            every: self.every,
            from: self.from.map(Into::into),
            at: self.at.map(Into::into),
        };
        let body = PutSchedule {
            workflow: self.workflow,
            input,
            durability: self.durability.into(),
            timeout: self.timeout,
            tags: Tags::collect(self.tags).context("--tag")?,
            priority: self.priority,
            concurrency_key: self.concurrency_key,
            spec,
            overlap: self.overlap,
            jitter: self.jitter,
            catch_up: self.catch_up,
        };
        let put: ScheduleView = client.send(client.request(Method::PUT, &path(&self.name, "")).json(&body)).await?;
        show(&put, client.json)
    }
}

impl List {
    async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.cursor.map(|cursor| ("cursor", cursor)));
        let page: SchedulePage = client.send(client.request(Method::GET, "/schedules").query(&query)).await?;
        if client.json {
            output::json(&page)?;
            return Ok(Done::Well);
        }
        let rows = page.schedules.into_iter().map(|schedule| {
            let next = if schedule.paused_at.is_some() { "paused".to_owned() } else { next(&schedule) };
            let ticks =
                [schedule.started, schedule.skipped, schedule.missed, schedule.failed].map(|count| count.to_string());
            [vec![schedule.schedule, schedule.workflow, schedule.spec.to_string(), next], ticks.to_vec()].concat()
        });
        let headings = ["schedule", "workflow", "ticks", "next (UTC)", "started", "skipped", "missed", "failed"];
        output::table(&headings, rows);
        if let Some(next) = page.next {
            output::line(format!("more with --cursor {next}"));
        }
        Ok(Done::Well)
    }
}

impl Range {
    async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let body = Backfill { from: self.from.into(), to: self.to.into() };
        let request = client.request(Method::POST, &path(&self.name, "/backfill")).json(&body);
        let filled: Backfilled = client.send(request).await?;
        if client.json {
            output::json(&filled)?;
        } else {
            let Backfilled { ticks, started } = filled;
            output::line(format!("started {started}; ticks in the range: {ticks}"));
        }
        Ok(Done::Well)
    }
}

async fn change(client: &Client, path: &str) -> anyhow::Result<Done> {
    show(&client.send(client.request(Method::POST, path)).await?, client.json)
}

fn show(schedule: &ScheduleView, as_json: bool) -> anyhow::Result<Done> {
    if as_json {
        output::json(schedule)?;
        return Ok(Done::Well);
    }
    let input = schedule.input.as_ref().map(output::short).filter(|input| input != "null");
    output::line(format!("schedule  {}", schedule.schedule));
    output::line(format!("starts    {} {}", schedule.workflow, input.unwrap_or_default()).trim_end());
    output::line(format!("ticks     {}", schedule.spec));
    let (jitter, catch_up) = [schedule.jitter, schedule.catch_up].map(humantime::format_duration).into();
    output::line(format!("overlap   {}; jitter {jitter}; catch-up {catch_up}", schedule.overlap));
    if !schedule.tags.is_empty() {
        output::line(format!("tags      {}", schedule.tags.written().collect::<Vec<_>>().join(", ")));
    }
    if let Some(key) = &schedule.concurrency_key {
        output::line(format!("priority  {}; concurrency key {key}", schedule.priority));
    } else if !schedule.priority.is_default() {
        output::line(format!("priority  {}", schedule.priority));
    }
    match schedule.paused_at {
        Some(paused_at) => output::line(format!("paused    since {}", output::time(paused_at))),
        None if schedule.next_ticks.is_empty() => output::line("finished  it does not tick any more"),
        None => {}
    }
    for (number, tick) in schedule.next_ticks.iter().enumerate() {
        let heading = match (number, schedule.paused_at) {
            (0, None) => "next",
            (0, Some(_)) => "would be",
            _ => "",
        };
        output::line(format!("{heading:9} {}", output::time(*tick)));
    }
    if let Some(tick) = schedule.queued_tick {
        output::line(format!("waits     {}, for the end of what runs", output::time(tick)));
    }
    let ScheduleView { started, skipped, missed, failed, .. } = schedule;
    output::line(format!("so far    {started} started, {skipped} skipped, {missed} missed, {failed} failed"));
    if !schedule.last_ticks.is_empty() {
        output::line("");
        let rows = schedule.last_ticks.iter().map(|tick| {
            let outcome =
                if tick.count == 1 { tick.outcome.clone() } else { format!("{} {}", tick.count, tick.outcome) };
            let what = tick.run_id.clone().or_else(|| tick.reason.clone());
            vec![output::time(tick.tick), outcome, what.unwrap_or_default()]
        });
        output::table(&["tick (UTC)", "outcome", "run"], rows);
    }
    Ok(Done::Well)
}

fn next(schedule: &ScheduleView) -> String {
    schedule.next_ticks.first().map_or_else(|| "finished".to_owned(), |tick: &Timestamp| output::time(*tick))
}

/// A name may have slashes.
fn path(name: &Name, rest: &str) -> String {
    format!("/schedules/{}{rest}", name.replace('/', "%2F"))
}
