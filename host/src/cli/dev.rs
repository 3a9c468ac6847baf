//! `windlass dev`

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use super::host_options::{Access, HostOptions};
use super::output::Spinner;
use super::{Done, output};
use crate::postgres::{Binaries, Error, Server};

/// All in one, on loopback: the host runs PostgreSQL's own binaries in a folder of its own, with fsync on.
#[derive(Args, Debug)]
pub(super) struct Dev {
    /// Where the database is kept. As root, a folder that the account `postgres` can enter
    #[arg(long, env = "WINDLASS_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// A database of your own instead
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// Ask for API keys, as `serve` does. Where there is no key yet, one for everything is made and printed
    #[arg(long)]
    auth: bool,
    #[command(flatten)]
    host: HostOptions,
}

impl Dev {
    pub(super) async fn run(mut self, json: bool) -> anyhow::Result<Done> {
        if let Some(url) = &self.database_url {
            return self.host.serve(url, self.access(), json).await;
        }
        let data_dir = self.data_dir.clone().map_or_else(default_data_dir, Ok)?;
        let begun = Instant::now();
        let root = data_dir.clone();
        let binaries = find_or_download(&data_dir, json).await?;
        let server = tokio::task::spawn_blocking(move || Server::start(&root, &binaries)).await??;
        if !json {
            output::line(format!("database {} (ready in {} ms)", data_dir.display(), begun.elapsed().as_millis()));
        }
        self.host.master_key.or_kept_in(data_dir.join("master-key"))?;
        let done = self.host.serve(&server.url(), self.access(), json).await;
        // After the host: it writes until it has ended.
        tokio::task::spawn_blocking(move || drop(server)).await?;
        done
    }

    fn access(&self) -> Access {
        if self.auth { Access::KeysAndFirst } else { Access::Anybody }
    }
}

async fn find_or_download(data_dir: &Path, json: bool) -> anyhow::Result<Binaries> {
    match Binaries::find() {
        Err(Error::NoBinaries) => {}
        found => return Ok(found?),
    }
    if !json {
        output::line("no PostgreSQL server is installed here: downloading one (about 12 MB)");
    }
    let _spinner = Spinner::new("downloading PostgreSQL", json);
    Ok(Binaries::download(&data_dir.join("postgresql")).await?)
}

/// As root, one that the account of the database can enter; else in the user's own folder.
fn default_data_dir() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/windlass/dev"));
    }
    if let Some(data) = std::env::var_os("XDG_DATA_HOME") {
        return Ok(PathBuf::from(data).join("windlass"));
    }
    let home =
        std::env::var_os("HOME").context("there is no HOME to keep the database in; name a folder with --data-dir")?;
    Ok(PathBuf::from(home).join(".local/share/windlass"))
}
