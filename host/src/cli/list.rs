//! `windlass list`

use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::RunPage;
use crate::model::{Name, RunState};

#[derive(Args, Debug)]
pub(super) struct List {
    /// Of this workflow only
    #[arg(long)]
    workflow: Option<Name>,
    /// In this state only
    #[arg(long)]
    state: Option<RunState>,
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
        let mut query = vec![("limit", self.limit.to_string())];
        query.extend(self.workflow.map(|workflow| ("workflow", workflow.to_string())));
        query.extend(self.state.map(|state| ("state", state.as_str().to_owned())));
        query.extend(self.archived.then(|| ("archived", "true".to_owned())));
        query.extend(self.cursor.map(|cursor| ("cursor", cursor)));
        let page: RunPage = client.send(client.request(Method::GET, "/runs").query(&query)).await?;
        if client.json {
            output::json(&page)?;
            return Ok(Done::Well);
        }
        let rows = page.runs.into_iter().map(|run| {
            let took = run.closed_at.map(|closed_at| format!("{} ms", closed_at.since(run.started_at).as_millis()));
            vec![
                run.run_id,
                run.workflow,
                run.version.to_string(),
                run.state.as_str().to_owned(),
                output::time(run.started_at),
                took.unwrap_or_default(),
            ]
        });
        output::table(&["run", "workflow", "version", "state", "started (UTC)", "took"], rows);
        if let Some(next) = page.next {
            output::line(format!("more with --cursor {next}"));
        }
        Ok(Done::Well)
    }
}
