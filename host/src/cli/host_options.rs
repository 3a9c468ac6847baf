//! What `dev` and `serve` have in common.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use super::{Done, output};
use crate::serve;
use crate::store::{LeaseTimes, Store};
use crate::worker::HostConfig;

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
    /// Runs that the host is at, at most
    #[arg(long, env = "WINDLASS_ACTIVE_RUNS", default_value_t = 1_024)]
    active_runs: usize,
    /// How long a run may wait before it is parked
    #[arg(long, env = "WINDLASS_PARK_AFTER", default_value = "200ms", value_parser = humantime::parse_duration)]
    park_after: Duration,
    /// Where machine code of components is kept, so that it is not compiled at every start
    #[arg(long, env = "WINDLASS_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// What to log, as in RUST_LOG
    #[arg(long, env = "WINDLASS_LOG", default_value = "windlass_host=info,warn")]
    log: String,
}

/// Printed when the API listens.
#[derive(Serialize)]
struct Serving<'a> {
    api: String,
    schema: &'a str,
}

impl HostOptions {
    /// Serve on a database until the process is asked to stop.
    pub(super) async fn serve(&self, database_url: &str, json: bool) -> anyhow::Result<Done> {
        if !self.listen.ip().is_loopback() {
            bail!(
                "the API has no authentication yet, so it listens on loopback addresses only, and {} is none; put a \
                 proxy before it that checks who calls",
                self.listen.ip()
            );
        }
        self.set_up_log(json)?;
        let stop = serve::stop_signal()?;
        let store = Store::connect(database_url, &self.schema).await?;
        let listener = serve::bind(self.listen).await?;
        let serving = Serving { api: format!("http://{}", listener.local_addr()?), schema: &self.schema };
        if json {
            output::json(&serving)?;
        } else {
            output::line(format!("API      {}", serving.api));
        }
        serve::serve(store, self.config(), listener, stop).await?;
        Ok(Done::Well)
    }

    fn config(&self) -> HostConfig {
        let mut config = HostConfig::default();
        config.run.active_max = self.active_runs;
        config.run.park_after = self.park_after;
        config.cache = self.cache_dir.clone().or_else(default_cache_dir);
        config.lease = LeaseTimes { ttl: self.lease, renew: self.lease / 10 };
        config
    }

    fn set_up_log(&self, json: bool) -> anyhow::Result<()> {
        let log =
            tracing_subscriber::fmt().with_env_filter(EnvFilter::try_new(&self.log)?).with_writer(std::io::stderr);
        let set = if json { log.json().try_init() } else { log.with_target(false).try_init() };
        set.map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
    }
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
