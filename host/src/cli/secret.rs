//! `windlass secret`

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;
use zeroize::Zeroizing;

use super::client::Client;
use super::rewrap::Rewrap;
use super::{Done, output};
use crate::api::{SecretSet, Secrets};
use crate::model::{Name, Target};

#[derive(Args, Debug)]
pub(super) struct Secret {
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// Set a secret, or change it; its value comes from a file or from standard input
    Set(Set),
    /// List secrets, without their values
    List,
    /// Forget a secret
    Delete(Delete),
    /// Wrap all data keys under the current master key, straight in the database
    Rewrap(Rewrap),
}

#[derive(Args, Debug)]
struct Set {
    /// Its name: a step writes {{secret:NAME}} into the header
    name: Name,
    /// Where it may be sent: https://HOST or https://HOST:PORT, or http:// and a loopback address
    #[arg(long = "for", value_name = "URL", required = true)]
    targets: Vec<Target>,
    /// The header that it may be put into
    #[arg(long, value_name = "NAME")]
    header: String,
    /// Read the value from this file; an end of line at its end is not part of it
    #[arg(long, value_name = "FILE")]
    from_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Delete {
    /// Its name
    name: Name,
}

impl Secret {
    /// `client`: how to reach a host, for what needs one.
    pub(super) async fn run(
        self,
        client: impl FnOnce() -> anyhow::Result<Client>,
        as_json: bool,
    ) -> anyhow::Result<Done> {
        match self.command {
            SecretCommand::Set(set) => set.run(&client()?).await,
            SecretCommand::List => list(&client()?).await,
            SecretCommand::Delete(delete) => delete.run(&client()?).await,
            SecretCommand::Rewrap(rewrap) => rewrap.run(as_json).await,
        }
    }
}

impl Set {
    async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let value = read(self.from_file.as_deref())?;
        let body = json!({ "value": &**value, "for": self.targets, "header": self.header });
        let request = client.request(Method::PUT, &path(&self.name)).json(&body);
        let set: SecretSet = client.send(request).await?;
        if client.json {
            output::json(&set)?;
            return Ok(Done::Well);
        }
        let what = if set.is_new { "set" } else { "changed" };
        output::line(format!("{what}; a step writes {} into the header `{}`", set.placeholder, self.header));
        Ok(Done::Well)
    }
}

impl Delete {
    async fn run(self, client: &Client) -> anyhow::Result<Done> {
        client.tell(client.request(Method::DELETE, &path(&self.name))).await?;
        if !client.json {
            output::line("deleted");
        }
        Ok(Done::Well)
    }
}

async fn list(client: &Client) -> anyhow::Result<Done> {
    let secrets: Secrets = client.get("/secrets").await?;
    if client.json {
        output::json(&secrets)?;
        return Ok(Done::Well);
    }
    let rows = secrets
        .secrets
        .into_iter()
        .map(|secret| vec![secret.name, secret.header, secret.targets.join(", "), output::time(secret.updated_at)]);
    output::table(&["secret", "header", "for", "set (UTC)"], rows);
    Ok(Done::Well)
}

/// A name may have slashes.
fn path(name: &Name) -> String {
    format!("/secrets/{}", name.replace('/', "%2F"))
}

fn read(file: Option<&Path>) -> anyhow::Result<Zeroizing<String>> {
    let mut value = Zeroizing::new(String::new());
    match file {
        Some(file) => {
            let read = std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut value));
            read.with_context(|| format!("cannot read {}", file.display()))?;
        }
        None => {
            std::io::stdin().read_to_string(&mut value).context("cannot read the value from standard input")?;
        }
    }
    let end = value.trim_end_matches(['\r', '\n']).len();
    value.truncate(end);
    if value.is_empty() {
        bail!("the value is empty; name a file with --from-file, or give it on standard input");
    }
    Ok(value)
}
