//! `windlass keys`

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::{Method, RequestBuilder};

use super::client::{Client, ClientError};
use super::{Done, credentials, output};
use crate::api::{self, Accepted, CreateKey, CreatedKey, KeyView, RotateKey};
use crate::model::{KeyId, Reach, Scope};
use crate::store::Store;

#[derive(Args, Debug)]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key, and print it: it is shown this once
    Create(Create),
    /// List the keys of the namespace
    List(List),
    /// Revoke a key for good
    Revoke(Revoke),
    /// Make a key that is good for the same as another, which ends soon
    Rotate(Rotate),
}

#[derive(Args, Debug)]
struct Create {
    /// What it is good for: read, start, signal, deploy, operate, admin
    #[arg(long, required = true, value_delimiter = ',', value_name = "SCOPE,…")]
    scopes: Vec<Scope>,
    /// What it is called
    #[arg(long, default_value = "unnamed")]
    name: String,
    /// How long it works, as 90d or 12h; without, until it is revoked
    #[arg(long, value_parser = humantime::parse_duration)]
    lifetime: Option<Duration>,
    /// For all namespaces, those to come among them
    #[arg(long)]
    all_namespaces: bool,
    // Not from DATABASE_URL: a variable that happens to be there must not decide what is written to. A password need not stand
    // in it: PGPASSWORD and the password file are read.
    /// Write to this database, and ask no host: how the first key is made
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// The schema of the installation in that database
    #[arg(long, env = "WINDLASS_SCHEMA", default_value = "windlass")]
    schema: String,
}

#[derive(Args, Debug)]
struct List {
    /// Those for all namespaces
    #[arg(long)]
    all_namespaces: bool,
}

#[derive(Args, Debug)]
struct Revoke {
    /// The id of the key
    key: KeyId,
    /// It is one for all namespaces
    #[arg(long)]
    all_namespaces: bool,
}

#[derive(Args, Debug)]
struct Rotate {
    /// The id of the key
    key: KeyId,
    /// How long the old key still works
    #[arg(long, default_value = "1h", value_parser = humantime::parse_duration)]
    overlap: Duration,
    /// It is one for all namespaces
    #[arg(long)]
    all_namespaces: bool,
}

impl Keys {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        match self.command {
            Command::Create(create) => create.run(client).await,
            Command::List(list) => list.run(client).await,
            Command::Revoke(Revoke { key, all_namespaces }) => {
                let request = request(client, Method::DELETE, all_namespaces, &format!("/{key}"));
                let accepted: Accepted = client.send(request).await?;
                super::signal::report(client, &accepted, "revoked", "revoked before")
            }
            Command::Rotate(Rotate { key, overlap, all_namespaces }) => {
                let request = request(client, Method::POST, all_namespaces, &format!("/{key}/rotate"));
                print(&client.send(request.json(&RotateKey { overlap })).await?, client.json)
            }
        }
    }
}

/// A request about the keys of the namespace, or about those for all of them.
fn request(client: &Client, method: Method, all_namespaces: bool, path: &str) -> RequestBuilder {
    if all_namespaces {
        return client.request_of_all(method, &format!("/*/keys{path}"));
    }
    client.request(method, &format!("/keys{path}"))
}

impl Create {
    async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let Self { scopes, name, lifetime, all_namespaces, database_url, schema } = self;
        let body = CreateKey { name, scopes, lifetime };
        let created: CreatedKey = match database_url {
            None => client.send(request(client, Method::POST, all_namespaces, "").json(&body)).await?,
            Some(url) => {
                let store = Store::connect(&url, &schema).await?;
                let reach = if all_namespaces { Reach::All } else { Reach::One(client.namespace.clone()) };
                let created = body.create(&store, &reach, &credentials::account()).await;
                store.close().await;
                created.map_err(ClientError::Refused)?
            }
        };
        print(&created, client.json)
    }
}

/// Print a key that was just made.
fn print(created: &CreatedKey, json: bool) -> anyhow::Result<Done> {
    if json {
        output::json(created)?;
        return Ok(Done::Well);
    }
    let CreatedKey { api_key, key } = created;
    output::line(format!("key       {}", api_key.reveal()));
    output::line(format!("id        {}", key.key_id));
    output::line(format!("namespace {}", key.namespace));
    output::line(format!("scopes    {}", scopes(key)));
    if let Some(expires_at) = key.expires_at {
        output::line(format!("ends      {}", output::time(expires_at)));
    }
    output::line("The key is shown this once: keep it where secrets are kept.");
    Ok(Done::Well)
}

impl List {
    async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let found: api::Keys = client.send(request(client, Method::GET, self.all_namespaces, "")).await?;
        if client.json {
            output::json(&found)?;
            return Ok(Done::Well);
        }
        let rows = found.keys.iter().map(|key| {
            let ends = key.revoked_at.map(|_| "revoked".to_owned());
            vec![
                key.key_id.to_string(),
                key.name.clone(),
                scopes(key),
                output::time(key.created_at),
                key.last_used_at.map_or_else(|| "never".to_owned(), output::time),
                ends.or_else(|| key.expires_at.map(output::time)).unwrap_or_default(),
            ]
        });
        output::table(&["key", "name", "scopes", "made (UTC)", "used (UTC)", "ends (UTC)"], rows);
        Ok(Done::Well)
    }
}

fn scopes(key: &KeyView) -> String {
    key.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
}
