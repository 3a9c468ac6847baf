//! `windlass rate-limit`

use clap::{Args, Subcommand};
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::{RateLimits, SetRateLimit};
use crate::model::Name;

#[derive(Args, Debug)]
pub(super) struct RateLimit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the limits of the namespace
    List,
    /// Limit a step, of whichever component of the namespace
    Set {
        /// The step
        #[arg(long)]
        step: Name,
        /// How many attempts may begin in a second, at all hosts together; 0.1 is one in ten seconds
        #[arg(long, value_name = "NUMBER")]
        per_second: f64,
        /// How many at once, if there were none for a while
        #[arg(long, value_name = "N", default_value_t = 1)]
        burst: u32,
    },
    /// Take the limit of a step away
    Unset {
        /// The step
        #[arg(long)]
        step: Name,
    },
}

impl RateLimit {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let path = |step: &Name| format!("/rate-limits/{step}");
        let limits: RateLimits = match self.verb {
            Verb::List => client.get("/rate-limits").await?,
            Verb::Set { step, per_second, burst } => {
                let request = client.request(Method::PUT, &path(&step));
                client.send(request.json(&SetRateLimit { per_second, burst })).await?
            }
            Verb::Unset { step } => {
                client.tell(client.request(Method::DELETE, &path(&step))).await?;
                client.get("/rate-limits").await?
            }
        };
        if client.json {
            output::json(&limits)?;
            return Ok(Done::Well);
        }
        let rows = limits
            .limits
            .into_iter()
            .map(|limit| vec![limit.step, limit.per_second.to_string(), limit.burst.to_string()]);
        output::table(&["step", "attempts a second", "at once"], rows);
        Ok(Done::Well)
    }
}
