//! `windlass list`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::run_flags::RunFlags;
use super::{Done, output};
use crate::api::RunPage;

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    runs: RunFlags,
    /// Those that are archived, instead of those that are not
    #[arg(long)]
    archived: bool,
    /// How many at most, up to 200
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Go on where the last page ended
    #[arg(long)]
    cursor: Option<String>,
}

impl List {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let mut chosen = self.runs.query();
        chosen.extend(self.archived.then(|| ("archived", "true".to_owned())));
        let (mut page, mut cursor) = (RunPage { runs: Vec::new(), next: None }, self.cursor);
        // A search that finds little says so now and then, and goes on.
        loop {
            let left = self.limit.saturating_sub(u32::try_from(page.runs.len()).unwrap_or(u32::MAX));
            let mut query = chosen.clone();
            query.push(("limit", left.to_string()));
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let part: RunPage = client.send(client.request(Method::GET, "/runs").query(&query)).await?;
            page.runs.extend(part.runs);
            if part.next.is_none() || page.runs.len() >= self.limit as usize {
                page.next = part.next;
                break;
            }
            cursor = part.next;
        }
        if client.json {
            output::json(&page)?;
            return Ok(Done::Well);
        }
        let has_tags = page.runs.iter().any(|run| !run.tags.is_empty());
        let rows = page.runs.into_iter().map(|run| {
            let took = run.closed_at.map(|closed_at| format!("{} ms", closed_at.since(run.started_at).as_millis()));
            let mut cells = vec![
                run.run_id,
                run.workflow,
                run.version.to_string(),
                run.failure_code
                    .map_or_else(|| run.state.as_str().to_owned(), |code| format!("{}: {code}", run.state.as_str())),
                output::time(run.started_at),
                took.unwrap_or_default(),
            ];
            cells.extend(has_tags.then(|| run.tags.written().collect::<Vec<_>>().join(" ")));
            cells
        });
        let mut headings = vec!["run", "workflow", "version", "state", "started (UTC)", "took"];
        headings.extend(has_tags.then_some("tags"));
        output::table(&headings, rows);
        if let Some(next) = page.next {
            output::line(format!("more with --cursor {next}"));
        }
        Ok(Done::Well)
    }
}
