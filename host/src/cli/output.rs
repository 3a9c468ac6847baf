//! What people see: tables, progress, errors.

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Done;
use crate::api::view::{EventView, RunView};
use crate::model::{Payload, RunState, Timestamp};

/// Print a line. When whoever reads has gone, as `head` does, there is nothing left to do.
pub(super) fn line(text: impl AsRef<str>) {
    if let Err(error) = writeln!(std::io::stdout(), "{}", text.as_ref())
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Print a value as JSON, on one line.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?);
    Ok(())
}

/// Print what went wrong.
pub(super) fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// Print rows under headings.
pub(super) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    table.add_rows(rows);
    line(table.to_string());
}

/// Something that turns while one waits; it goes when it is dropped. Not where nobody sees it.
pub(super) struct Spinner(Option<ProgressBar>);

impl Spinner {
    pub(super) fn new(what: impl Into<String>, json: bool) -> Self {
        if json || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(what.into());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }
}

/// How far one has come with many things; none where nobody sees it.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Of so many, if that is known.
    pub(super) fn new(all: Option<u64>, what: &'static str, json: bool) -> Self {
        if json || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = all.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template =
            if all.is_some() { "{msg} {bar:40} {pos} of {len}, {eta} left" } else { "{spinner} {msg} {pos}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(Some(bar))
    }

    /// One more is done.
    pub(super) fn step(&self) {
        self.0.iter().for_each(|bar| bar.inc(1));
    }

    /// Print something above it.
    pub(super) fn above(&self, print: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.iter().for_each(ProgressBar::finish_and_clear);
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A time, for people: to the millisecond.
pub(super) fn time(time: Timestamp) -> String {
    let mut text = time.to_string();
    text.truncate("2026-01-01T00:00:00.000".len());
    text.replace('T', " ")
}

/// A document, for a cell of a table.
pub(super) fn short(payload: &Payload) -> String {
    const LENGTH_MAX: usize = 60;
    let text = payload.as_str();
    match text.char_indices().nth(LENGTH_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// What an event was about: `ship → "s-1" (3 attempts)`.
pub(super) fn event_cells(event: &EventView) -> Vec<String> {
    let outcome = match (&event.result, &event.failure) {
        (Some(result), _) => short(result),
        (None, Some(failure)) => format!("failed: {failure}"),
        (None, None) => String::new(),
    };
    let took = event.asked_at.map(|asked_at| format!("{} ms", event.at.since(asked_at).as_millis()));
    vec![
        event.seq.to_string(),
        time(event.at),
        event.kind.clone(),
        event.name.clone(),
        event.call.map(|call| call.to_string()).unwrap_or_default(),
        event.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
        took.unwrap_or_default(),
        outcome,
    ]
}

/// The headings of [`event_cells`].
pub(super) const EVENT_HEADINGS: [&str; 8] = ["#", "at (UTC)", "event", "name", "call", "attempt", "took", "outcome"];

/// Print a run, and say whether it came to what one waits for.
pub(super) fn run(run: &RunView, as_json: bool) -> anyhow::Result<Done> {
    if as_json {
        json(run)?;
    } else {
        describe(run);
    }
    Ok(done(run))
}

/// Print the last line about a run that has ended.
pub(super) fn run_ended(run: &RunView, text: &str) -> Done {
    line(text);
    done(run)
}

fn done(run: &RunView) -> Done {
    let is_over = run.closed_at.is_some() || run.report.is_some();
    if is_over && run.state != RunState::Completed { Done::NotCompleted } else { Done::Well }
}

fn describe(run: &RunView) {
    line(format!("run       {}", run.run_id));
    line(format!("workflow  {} (component {}, version {})", run.workflow, run.component, run.version));
    line(format!("state     {}", run.state.as_str()));
    line(format!("started   {}", time(run.started_at)));
    if let Some(closed_at) = run.closed_at {
        line(format!("ended     {} (after {} ms)", time(closed_at), closed_at.since(run.started_at).as_millis()));
    }
    if let Some(deadline_at) = run.deadline_at {
        line(format!("deadline  {}", time(deadline_at)));
    }
    if let Some(parent) = &run.parent_run_id {
        line(format!("parent    {parent}"));
    }
    if run.generation > 0 {
        line(format!("continued as new {} times", run.generation));
    }
    if !run.priority.is_default() {
        line(format!("priority  {}", run.priority));
    }
    if let Some(key) = &run.concurrency_key {
        line(format!("key       {key} (concurrency)"));
    }
    if !run.tags.is_empty() {
        line(format!("tags      {}", run.tags.written().collect::<Vec<_>>().join(", ")));
    }
    if let Some(fork) = &run.forked_from {
        line(format!("fork of   {} before event {}", fork.run_id, fork.before));
    }
    if run.rewinds > 0 {
        line(format!(
            "rewound   {} times: `windlass history {} --rewind N` has what was dropped",
            run.rewinds, run.run_id
        ));
    }
    line(format!("events    {}", run.events));
    if let Some(wake_at) = run.wake_at {
        line(format!("wakes     {}", time(wake_at)));
    }
    let documents =
        [("waits for", &run.open_calls), ("result", &run.result), ("failure", &run.failure), ("report", &run.report)];
    for (what, document) in documents {
        if let Some(document) = document {
            line(format!("{what:9} {}", pretty(document)));
        }
    }
}

/// A document over several lines, if it has structure.
fn pretty(document: &Payload) -> String {
    let value = serde_json::from_str::<serde_json::Value>(document.as_str());
    value.and_then(|value| serde_json::to_string_pretty(&value)).unwrap_or_else(|_| document.as_str().to_owned())
}
