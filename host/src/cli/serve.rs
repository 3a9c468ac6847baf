//! `windlass serve`

use clap::Args;

use super::Done;
use super::host_options::{Access, HostOptions};

/// A host on your database. Any number of hosts share one.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// Serve whoever reaches the API, without a key. On loopback only
    #[arg(long)]
    insecure_no_auth: bool,
    #[command(flatten)]
    host: HostOptions,
}

impl Serve {
    pub(super) async fn run(self, json: bool) -> anyhow::Result<Done> {
        let access = if self.insecure_no_auth { Access::Anybody } else { Access::Keys };
        self.host.serve(&self.database_url, access, json).await
    }
}
