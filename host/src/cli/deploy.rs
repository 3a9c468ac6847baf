//! `windlass deploy`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use reqwest::Method;

use super::client::Client;
use super::output::Spinner;
use super::{Done, output};
use crate::api::Deployed;
use crate::model::{HttpGrant, Name};

#[derive(Args, Debug)]
pub(super) struct Deploy {
    /// The component: the `.wasm` that the build made
    file: PathBuf,
    /// Instead of the name that the component gives itself
    #[arg(long)]
    name: Option<Name>,
    /// Let the component's steps send this if they ask for it: HOST, HOST:PORT or HOST:*; or narrower:
    /// 'GET,POST api.example.com/v1/*'
    #[arg(long, value_name = "GRANT")]
    grant_http: Vec<HttpGrant>,
}

impl Deploy {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let bytes =
            tokio::fs::read(&self.file).await.with_context(|| format!("cannot read {}", self.file.display()))?;
        let grants = self.grant_http.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut query = vec![("grant_http", grants)];
        query.extend(self.name.map(|name| ("name", name.to_string())));
        let request = client.request(Method::POST, "/components").query(&query).body(bytes);
        let deployed: Deployed = {
            let _spinner = Spinner::new("inspecting and compiling", client.json);
            client.send(request).await?
        };
        if client.json {
            output::json(&deployed)?;
            return Ok(Done::Well);
        }
        let Deployed { component, version, is_new, workflows, steps, not_granted } = deployed;
        let unchanged = if is_new { "" } else { " (unchanged)" };
        output::line(format!("deployed {component} version {version}{unchanged}"));
        output::line(format!("workflows  {}", workflows.join(", ")));
        for step in steps {
            let http =
                if step.http.is_empty() { String::new() } else { format!(", asks for {}", step.http.join(", ")) };
            output::line(format!("step       {}{http}", step.name));
        }
        for asked in not_granted {
            output::line(format!("not granted {asked}; to allow it: windlass grant {component} --http '{asked}'"));
        }
        Ok(Done::Well)
    }
}
