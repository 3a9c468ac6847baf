//! `windlass namespace`

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::{Method, StatusCode};

use super::client::{Client, ClientError};
use super::{Done, output};
use crate::api::view::NamespaceView;
use crate::api::{LimitValue, NamespacePage, PutNamespace, RetentionAge, RetentionView};
use crate::model::{self, Retention, RetentionChange};

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
    /// Show how many runs of a namespace have ended, how long ago, and how much they keep
    Retention {
        /// Which
        name: model::Namespace,
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
    /// How long after its end a run goes to the archive, as 7d; `never`: not for its age
    #[arg(long, value_name = "TIME", value_parser = time)]
    archive_after: Option<Setting<Duration>>,
    /// How many runs stay out of the archive, the newest; `all`: not for their number
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    keep_runs: Option<Setting<u64>>,
    /// How long after its end an archived run is deleted, as 90d; or `never`
    #[arg(long, value_name = "TIME", value_parser = time)]
    delete_after: Option<Setting<Duration>>,
    /// How long an idempotency key holds at least, from the start of its run on
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    keep_keys: Option<Duration>,
    /// Whether archived runs are written to the archive store before they are deleted
    #[arg(long, value_name = "true|false")]
    export_archive: Option<bool>,
}

/// Something that can be set to nothing.
#[derive(Clone, Debug)]
struct Setting<T>(Option<T>);

fn time(text: &str) -> Result<Setting<Duration>, String> {
    let time = (text != "never").then(|| humantime::parse_duration(text)).transpose();
    time.map(Setting).map_err(|error| error.to_string())
}

fn number(text: &str) -> Result<Setting<u64>, String> {
    let number = (text != "all").then(|| text.parse()).transpose();
    number.map(Setting).map_err(|_| "a whole number, or `all`".to_owned())
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
            Command::Retention { name } => {
                let path = format!("/v1/namespaces/{name}/retention");
                ages(&client.send(client.request_outside(Method::GET, &path)).await?, client)
            }
            Command::Recount { name } => {
                let path = format!("/v1/namespaces/{name}/recount");
                show(&client.send(client.request_outside(Method::POST, &path)).await?, client)
            }
        }
    }
}

async fn put(limits: Limits, client: &Client) -> anyhow::Result<Done> {
    let Limits { name, limits, seal_payloads, archive_after, keep_runs, delete_after, keep_keys, export_archive } =
        limits;
    let retention = RetentionChange {
        archive_after: archive_after.map(|setting| setting.0),
        keep_runs: keep_runs.map(|setting| setting.0),
        delete_after: delete_after.map(|setting| setting.0),
        keep_keys,
        export_archive,
    };
    let limits = limits.into_iter().collect::<BTreeMap<_, _>>();
    let body = PutNamespace { limits, seal_payloads, retention };
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
    output::line(format!("retention  {}", retention(&namespace.retention)));
    let rows = namespace.limits.iter().map(|(name, number)| {
        let whose = if namespace.own_limits.contains_key(name) { "its own" } else { "" };
        vec![name.clone(), number.to_string(), whose.to_owned()]
    });
    output::table(&["limit", "number", ""], rows);
    Ok(Done::Well)
}

fn ages(view: &RetentionView, client: &Client) -> anyhow::Result<Done> {
    if client.json {
        output::json(view)?;
        return Ok(Done::Well);
    }
    output::line(retention(&view.retention));
    let rows = view.ages.iter().map(|age| {
        let RetentionAge { ended, runs, bytes, archived_runs, archived_bytes } = age;
        let numbers = [runs, bytes, archived_runs, archived_bytes].map(ToString::to_string);
        [ended.clone()].into_iter().chain(numbers).collect()
    });
    output::table(&["ended", "runs", "bytes", "archived", "bytes in the archive"], rows);
    Ok(Done::Well)
}

/// `archived 7days after the end, deleted 90days after it`.
fn retention(retention: &Retention) -> String {
    let time = |time: Duration| humantime::format_duration(time).to_string();
    let archived = retention.archive_after.map(|after| format!("archived {} after their end", time(after)));
    let kept = retention.keep_runs.map(|runs| format!("archived when {runs} others are newer"));
    let deleted = retention.delete_after.map(|after| format!("deleted {} after their end", time(after)));
    let exported = retention.export_archive.then(|| "exported before".to_owned());
    let said: Vec<_> = [archived, kept, deleted, exported].into_iter().flatten().collect();
    let said = if said.is_empty() { "everything is kept".to_owned() } else { said.join(", ") };
    format!("{said}; keys hold for {}", time(retention.keep_keys))
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
