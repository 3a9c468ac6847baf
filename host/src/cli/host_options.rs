//! What `dev` and `serve` have in common.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::client::ClientError;
use super::entrance_options::EntranceOptions;
use super::master_key::MasterKeyOptions;
use super::{Done, credentials, limits, output};
use crate::api::{CreateKey, Entrance};
use crate::model::{Editions, Reach, Scope};
use crate::sandbox::{CompileLimits, Compiler, Limits};
use crate::serve;
use crate::store::{LeaseTimes, Store};
use crate::worker::{ArchiveStore, Authentication, HostConfig};

#[derive(Args, Debug)]
pub(super) struct HostOptions {
    /// Where the API listens; port 0 takes any that is free
    #[arg(long, env = "WINDLASS_LISTEN", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7420))]
    listen: SocketAddr,
    /// The schema of this installation in the database
    #[arg(long, env = "WINDLASS_SCHEMA", default_value = "windlass")]
    schema: String,
    /// How long other hosts wait before they take over from this one when it is cut off
    #[arg(long, env = "WINDLASS_LEASE", default_value = "10s", value_parser = humantime::parse_duration)]
    lease: Duration,
    /// Runs that the host is at, at most; four fifths of them may be of one namespace
    #[arg(long, env = "WINDLASS_ACTIVE_RUNS", default_value_t = 1_280)]
    active_runs: usize,
    /// How long a run may wait before it is parked
    #[arg(long, env = "WINDLASS_PARK_AFTER", default_value = "200ms", value_parser = humantime::parse_duration)]
    park_after: Duration,
    /// Deaths of hosts in a row, without progress, after which a run that was there each time is quarantined; 0: never
    #[arg(long, env = "WINDLASS_STRIKES", default_value_t = 3)]
    strikes: u16,
    /// Where machine code of components is kept, so that it is not compiled at every start
    #[arg(long, env = "WINDLASS_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) master_key: MasterKeyOptions,
    /// Processor time that compiling a component may take, in whole seconds
    #[arg(long, value_name = "TIME", env = "WINDLASS_COMPILE_TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    compile_time: Duration,
    /// Memory that compiling a component may take, in MiB of address space; 1,280 or more
    #[arg(long, value_name = "MIB", env = "WINDLASS_COMPILE_MEMORY", default_value_t = 2_048, value_parser = clap::value_parser!(u64).range(1_280..))]
    compile_memory: u64,
    /// What this host may use for guests, and what these may use: a TOML or JSON file of numbers by name (docs/limits.md)
    #[arg(long, env = "WINDLASS_LIMITS", value_name = "FILE")]
    limits: Option<PathBuf>,
    /// Where archived runs are written to before they are deleted: file:///path/to/folder, or s3://bucket/path with AWS_* variables
    #[arg(long, env = "WINDLASS_ARCHIVE_STORE", value_name = "URL")]
    archive_store: Option<String>,
    /// How often to look for runs that are to be archived
    #[arg(long, env = "WINDLASS_ARCHIVE_EVERY", value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    archive_every: Duration,
    /// What it pretends to have learnt, for tests of fleets of several releases
    #[arg(long, env = "WINDLASS_EDITIONS", hide = true)]
    editions: Option<Editions>,
    /// What to log, as in RUST_LOG
    #[arg(long, env = "WINDLASS_LOG", default_value = "windlass_host=info,warn")]
    log: String,
    #[command(flatten)]
    entrance: EntranceOptions,
}

/// Whom a host serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever has an API key.
    Keys,
    /// The same, on this machine; where there is no key yet, one for everything is made.
    KeysAndFirst,
    /// Whoever reaches it.
    Anybody,
}

/// By the clock, for a compiler that others are before.
const COMPILE_TIME_FACTOR: u32 = 3;

/// Printed when the API listens.
#[derive(Serialize)]
struct Serving<'a> {
    api: String,
    schema: &'a str,
    /// The first key, if it was made just now.
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<String>,
}

impl HostOptions {
    /// Serve on a database until the process is asked to stop.
    pub(super) async fn serve(&self, database_url: &str, access: Access, json: bool) -> anyhow::Result<Done> {
        if access != Access::Keys && !self.listen.ip().is_loopback() {
            bail!(
                "{} is no loopback address: `windlass dev`, and whatever serves without authentication, is for this machine; \
                 where others can reach it, `windlass serve` asks for API keys",
                self.listen.ip()
            );
        }
        self.entrance.check(self.listen)?;
        self.set_up_log(json)?;
        let certificate = self.entrance.certificate()?;
        let config = self.config()?;
        let stop = serve::stop_signal()?;
        let store = Store::connect(database_url, &self.schema).await?;
        if let Some(id) = store.missing_master_key(config.master_keys.as_deref()).await? {
            bail!(
                "payloads in this database are sealed under the master key {id}, which this host does not have: give it a \
                 --master-key-file with that key in it"
            );
        }
        let listener = serve::bind(self.listen).await?;
        let api_key = if access == Access::KeysAndFirst { first_key(&store).await? } else { None };
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let api = format!("{scheme}://{}", listener.local_addr()?);
        let serving = Serving { api, schema: &self.schema, api_key };
        if json {
            output::json(&serving)?;
        } else {
            output::line(format!("API      {}", serving.api));
            if access == Access::Anybody {
                output::line("auth     none: whoever reaches this address may do everything");
            }
            if let Some(key) = &serving.api_key {
                output::line(format!("API key  {key} (for everything; shown this once)"));
            }
        }
        let authentication = if access == Access::Anybody { Authentication::None } else { Authentication::Keys };
        let entrance = Entrance { listener, certificate, limits: self.entrance.limits() };
        serve::serve(store, HostConfig { authentication, ..config }, entrance, stop).await?;
        Ok(Done::Well)
    }

    fn config(&self) -> anyhow::Result<HostConfig> {
        let mut config = HostConfig { limits: self.limits()?, ..HostConfig::default() };
        config.run.active_max = self.active_runs;
        config.run.park_after = self.park_after;
        config.run.strikes_max = Some(self.strikes).filter(|strikes| *strikes > 0);
        config.cache = self.cache_dir.clone().or_else(default_cache_dir);
        let (memory_bytes, cpu_time) = (self.compile_memory << 20, self.compile_time);
        let limits = CompileLimits { memory_bytes, cpu_time, time: COMPILE_TIME_FACTOR * cpu_time };
        let program = std::env::current_exe().context("this program cannot be found, which is the compiler as well")?;
        config.compiler = Compiler::Process { program, limits };
        config.lease = LeaseTimes { ttl: self.lease, renew: self.lease / 10 };
        config.editions = self.editions.clone().unwrap_or_default();
        config.archive.every = self.archive_every;
        config.archive.store = self.archive_store.as_deref().map(ArchiveStore::open).transpose()?;
        config.master_keys = self.master_key.read()?.map(Arc::new);
        Ok(config)
    }

    fn limits(&self) -> anyhow::Result<Limits> {
        let Some(file) = &self.limits else { return Ok(Limits::default()) };
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let is_json = file.extension().is_some_and(|ending| ending == "json");
        limits::parse(&text, is_json).with_context(|| format!("the limits in {}", file.display()))
    }

    fn set_up_log(&self, json: bool) -> anyhow::Result<()> {
        let log =
            tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(&self.log)?).with_writer(std::io::stderr);
        let set = if json { log.json().try_init() } else { log.with_target(false).try_init() };
        set.map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
    }
}

/// A key for everything, if there is no key at all.
async fn first_key(store: &Store) -> anyhow::Result<Option<String>> {
    if store.has_keys().await? {
        return Ok(None);
    }
    let key = CreateKey { name: "first".into(), scopes: Scope::ALL.to_vec(), lifetime: None };
    let created = key.create(store, &Reach::All, &credentials::account()).await.map_err(ClientError::Refused)?;
    Ok(Some(created.api_key.reveal()))
}

/// Where the system keeps what can be made again; none where there is no home.
fn default_cache_dir() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/var/cache/windlass"));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    cache.map(|cache| cache.join("windlass"))
}
