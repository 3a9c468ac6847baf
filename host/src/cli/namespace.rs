//! `windlass namespace`

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};

use super::client::{Client, ClientError};
use super::{Done, output};
use crate::api::view::NamespaceView;
use crate::api::{LimitValue, NamespacePage, PutNamespace};
use crate::model;

#[derive(Args, Debug)]
pub(super) struct Namespace {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a namespace
    Create(Limits),
    /// Change a namespace
    Set(Limits),
    /// Show a namespace, and what it may use
    Show {
        /// Which
        name: model::Namespace,
    },
    /// List namespaces
    List {
        /// How many at most, up to 200
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Go on where the last page ended
        #[arg(long, default_value = "")]
        cursor: String,
    },
    /// Count anew what a namespace keeps in the database
    Recount {
        /// Which
        name: model::Namespace,
    },
}

#[derive(Args, Debug)]
struct Limits {
    /// Which
    name: model::Namespace,
    /// A limit of its own, as memory_bytes=32MiB; with `default`, the host's again. docs/limits.md lists them
    #[arg(long = "limit", value_name = "LIMIT=NUMBER", value_parser = limit)]
    limits: Vec<(String, Option<LimitValue>)>,
    /// Whether payloads that are kept from now on are sealed in the database
    #[arg(long, value_name = "true|false")]
    seal_payloads: Option<bool>,
}

fn limit(text: &str) -> Result<(String, Option<LimitValue>), String> {
    let (name, number) = text.split_once('=').ok_or("write LIMIT=NUMBER, as memory_bytes=32MiB")?;
    let number = (number != "default").then(|| model::parse_limit(name, number)).transpose();
    Ok((name.to_owned(), number.map_err(|error| error.to_string())?.map(LimitValue::Number)))
}

impl Namespace {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Done> {
        let get = |name: &model::Namespace| client.request_outside(Method::GET, &format!("/v1/namespaces/{name}"));
        match self.command {
            Command::Show { name } => show(&client.send(get(&name)).await?, client),
            Command::Create(limits) => {
                match client.send::<NamespaceView>(get(&limits.name)).await {
                    Ok(_) => bail!("there is a namespace {} already; `windlass namespace set` changes it", limits.name),
                    Err(ClientError::Refused(problem)) if problem.status == StatusCode::NOT_FOUND.as_u16() => {}
                    Err(error) => return Err(error.into()),
                }
                put(limits, client).await
            }
            Command::Set(limits) => {
                client.send::<NamespaceView>(get(&limits.name)).await?;
                put(limits, client).await
            }
            Command::List { limit, cursor } => list(limit, cursor, client).await,
            Command::Recount { name } => {
                let path = format!("/v1/namespaces/{name}/recount");
                show(&client.send(client.request_outside(Method::POST, &path)).await?, client)
            }
        }
    }
}

async fn put(limits: Limits, client: &Client) -> anyhow::Result<Done> {
    let Limits { name, limits, seal_payloads } = limits;
    let body = PutNamespace { limits: limits.into_iter().collect::<BTreeMap<_, _>>(), seal_payloads };
    let request = client.request_outside(Method::PUT, &format!("/v1/namespaces/{name}")).json(&body);
    show(&client.send(request).await?, client)
}

fn show(namespace: &NamespaceView, client: &Client) -> anyhow::Result<Done> {
    if client.json {
        output::json(namespace)?;
        return Ok(Done::Well);
    }
    output::line(format!("namespace  {}", namespace.namespace));
    output::line(format!("created    {}", output::time(namespace.created_at)));
    output::line(format!("keeps      {} bytes", namespace.stored_bytes));
    output::line(format!("payloads   {}", if namespace.seal_payloads { "sealed" } else { "not sealed" }));
    let rows = namespace.limits.iter().map(|(name, number)| {
        let whose = if namespace.own_limits.contains_key(name) { "its own" } else { "" };
        vec![name.clone(), number.to_string(), whose.to_owned()]
    });
    output::table(&["limit", "number", ""], rows);
    Ok(Done::Well)
}

async fn list(limit: u32, cursor: String, client: &Client) -> anyhow::Result<Done> {
    let request = client.request_outside(Method::GET, "/v1/namespaces");
    let page: NamespacePage = client.send(request.query(&[("limit", limit.to_string()), ("cursor", cursor)])).await?;
    if client.json {
        output::json(&page)?;
        return Ok(Done::Well);
    }
    let rows = page.namespaces.into_iter().map(|namespace| {
        let own = namespace.own_limits.iter().map(|(name, number)| format!("{name}={number}")).collect::<Vec<_>>();
        vec![namespace.namespace, namespace.stored_bytes.to_string(), own.join(" ")]
    });
    output::table(&["namespace", "bytes", "limits of its own"], rows);
    if let Some(next) = page.next {
        output::line(format!("more with --cursor {next}"));
    }
    Ok(Done::Well)
}
