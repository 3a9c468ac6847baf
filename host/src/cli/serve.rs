//! `windlass serve`

use clap::Args;

use super::Done;
use super::host_options::HostOptions;

/// A host on your database. Any number of hosts share one.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    #[command(flatten)]
    host: HostOptions,
}

impl Serve {
    pub(super) async fn run(self, json: bool) -> anyhow::Result<Done> {
        self.host.serve(&self.database_url, json).await
    }
}
