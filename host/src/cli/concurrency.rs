//! `windlass concurrency`

use clap::{Args, Subcommand};
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::{ConcurrencyLimits, SetConcurrency, SetNamespaceConcurrency};
use crate::model::Name;

#[derive(Args, Debug)]
pub(super) struct Concurrency {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the limits of the namespace, and how many runs are under way and wait
    List,
    /// Limit a workflow, or the whole namespace; what is not named is no limit
    Set {
        /// The workflow; without one, all of the namespace, which takes a key for all namespaces
        #[arg(long)]
        workflow: Option<Name>,
        /// How many runs may be under way
        #[arg(long, value_name = "N", required_unless_present = "max_per_key")]
        max: Option<u32>,
        /// How many of those that are started with the same concurrency key
        #[arg(long, value_name = "N", requires = "workflow")]
        max_per_key: Option<u32>,
    },
    /// Take the limits of a workflow away, or that of the whole namespace
    Unset {
        /// The workflow; without one, all of the namespace, which takes a key for all namespaces
        #[arg(long)]
        workflow: Option<Name>,
    },
}

impl Concurrency {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let request = match self.verb {
            Verb::List => client.request(Method::GET, "/concurrency"),
            Verb::Set { workflow, max, max_per_key } => set(client, workflow.as_ref(), max, max_per_key),
            Verb::Unset { workflow } => set(client, workflow.as_ref(), None, None),
        };
        let limits: ConcurrencyLimits = client.send(request).await?;
        if client.json {
            output::json(&limits)?;
            return Ok(Done::Well);
        }
        let number = |max: Option<u32>| max.map_or_else(|| "none".to_owned(), |max| max.to_string());
        let rows = limits.limits.into_iter().map(|limit| {
            vec![
                limit.workflow.unwrap_or_else(|| "all of them".to_owned()),
                number(limit.max_runs),
                limit.under_way.to_string(),
                limit.waiting.to_string(),
                number(limit.max_per_key),
                limit.waiting_for_key.to_string(),
            ]
        });
        output::table(&["workflow", "at once", "under way", "waiting", "of each key", "waiting"], rows);
        Ok(Done::Well)
    }
}

fn set(
    client: &Client,
    workflow: Option<&Name>,
    max_runs: Option<u32>,
    max_per_key: Option<u32>,
) -> reqwest::RequestBuilder {
    match workflow {
        Some(workflow) => client
            .request(Method::PUT, &format!("/workflows/{workflow}/concurrency"))
            .json(&SetConcurrency { max_runs, max_per_key }),
        None => client.request(Method::PUT, "/concurrency").json(&SetNamespaceConcurrency { max_runs }),
    }
}
