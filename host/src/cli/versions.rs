//! `windlass versions`

use clap::{Args, Subcommand};
use reqwest::Method;

use super::client::Client;
use super::{Done, output};
use crate::api::{DeleteVersion, UseVersion, Versions as View};
use crate::model::Name;

#[derive(Args, Debug)]
pub(super) struct Versions {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the versions of a component, and how many runs need each
    List {
        /// The component
        component: Name,
    },
    /// Let new runs take a version: the one before, to roll back
    Use {
        #[command(flatten)]
        which: Which,
        /// Whatever is deployed later
        #[arg(long)]
        pin: bool,
    },
    /// Say that no new run is to take a version
    Deprecate(Which),
    /// Take that back
    Undeprecate(Which),
    /// Forget a version that no run needs
    Delete {
        #[command(flatten)]
        which: Which,
        /// Even if runs that have failed are on it: nobody can try them again
        #[arg(long)]
        forget_failed: bool,
    },
}

#[derive(Args, Debug)]
struct Which {
    /// The component
    component: Name,
    /// The version
    version: u32,
}

impl Which {
    fn path(&self, verb: &str) -> String {
        format!("/components/{}/versions/{}{verb}", self.component, self.version)
    }
}

impl Versions {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let post = |path: String| client.request(Method::POST, &path);
        let request = match self.verb {
            Verb::List { component } => client.request(Method::GET, &format!("/components/{component}/versions")),
            Verb::Use { which, pin } => post(which.path("/use")).json(&UseVersion { pin }),
            Verb::Deprecate(which) => post(which.path("/deprecate")),
            Verb::Undeprecate(which) => post(which.path("/undeprecate")),
            Verb::Delete { which, forget_failed } => {
                let request = client.request(Method::DELETE, &which.path(""));
                request.query(&DeleteVersion { forget_failed })
            }
        };
        let versions: View = client.send(request).await?;
        if client.json {
            output::json(&versions)?;
            return Ok(Done::Well);
        }
        let rows = versions.versions.into_iter().map(|version| {
            let notes = [
                version.is_current.then_some("new runs take it"),
                version.is_pinned.then_some("pinned"),
                version.deprecated_at.map(|_| "deprecated"),
            ];
            vec![
                version.version.to_string(),
                output::time(version.deployed_at),
                version.digest[..12].to_owned(),
                version.contract,
                format!("{}{}", version.live, if version.live_is_bound { " or more" } else { "" }),
                notes.into_iter().flatten().collect::<Vec<_>>().join(", "),
            ]
        });
        output::table(&["version", "deployed (UTC)", "digest", "contract", "live runs", ""], rows);
        Ok(Done::Well)
    }
}
