//! `windlass secret rewrap`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::credentials::account;
use super::master_key::{MasterKeyOptions, read_file};
use super::{Done, output};
use crate::run;
use crate::store::Store;

/// Changes the master key. Hosts must know both keys until it is done: give them a file with the new key on its first line and
/// the old one below, start them again, do this, and take the old key away.
#[derive(Args, Debug)]
pub(super) struct Rewrap {
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The schema of the installation in the database
    #[arg(long, env = "WINDLASS_SCHEMA", default_value = "windlass")]
    schema: String,
    #[command(flatten)]
    master_key: MasterKeyOptions,
    /// A file with older master keys, if they are not below the current one
    #[arg(long, value_name = "FILE")]
    old_master_key_file: Option<PathBuf>,
    /// Make new data keys as well, and seal all secrets anew
    #[arg(long)]
    new_data_keys: bool,
}

impl Rewrap {
    pub(super) async fn run(self, as_json: bool) -> anyhow::Result<Done> {
        let keys = self.master_key.read()?;
        let mut keys = keys.context("which master key? Name its file with --master-key-file")?;
        if let Some(file) = &self.old_master_key_file {
            keys = keys.and_older(read_file(file)?);
        }
        let store = Store::connect(&self.database_url, &self.schema).await?;
        let done = run::rewrap(&store, &keys, self.new_data_keys, &account()).await?;
        store.close().await;
        if as_json {
            let run::Rewrapped { wrapped, unchanged, resealed } = done;
            output::json(&json!({ "rewrapped": wrapped, "unchanged": unchanged, "resealed": resealed }))?;
            return Ok(Done::Well);
        }
        let run::Rewrapped { wrapped, unchanged, resealed } = done;
        output::line(format!(
            "data keys  {wrapped} wrapped anew, {unchanged} were under the current master key already"
        ));
        if self.new_data_keys {
            output::line(format!("secrets    {resealed} sealed under new data keys"));
        }
        Ok(Done::Well)
    }
}
