//! `windlass drop-installation`

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{Done, output};
use crate::store::Store;

/// Deletes an installation with all that it has: every namespace, component, run and key. Its hosts have to be stopped first.
#[derive(Args, Debug)]
pub(super) struct DropInstallation {
    /// The database, as postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: String,
    /// The schema of the installation in the database
    #[arg(long, env = "WINDLASS_SCHEMA", default_value = "windlass")]
    schema: String,
    /// The name of the schema once more, instead of being asked for it
    #[arg(long, value_name = "SCHEMA")]
    confirm: Option<String>,
}

impl DropInstallation {
    pub(super) async fn run(self, as_json: bool) -> anyhow::Result<Done> {
        let Self { database_url, schema, confirm } = self;
        let confirmed = match confirm {
            Some(name) => name,
            None if std::io::stdin().is_terminal() => {
                output::line(format!("This deletes all that is in the schema `{schema}`. Type its name to go on:"));
                std::io::stdin().lock().lines().next().transpose()?.unwrap_or_default()
            }
            None => bail!("nobody can be asked here: say --confirm {schema}"),
        };
        if confirmed.trim() != schema {
            bail!("`{}` is not the name of the schema, `{schema}`: nothing was deleted", confirmed.trim());
        }
        let role = Store::drop_installation(&database_url, &schema).await?;
        if as_json {
            output::json(&json!({ "dropped": schema, "role_left": role }))?;
            return Ok(Done::Well);
        }
        output::line(format!("dropped  {schema}"));
        if let Some(role) = role {
            output::line(format!("left     the role of its tenants, which somebody else has made: DROP ROLE {role}"));
        }
        Ok(Done::Well)
    }
}
