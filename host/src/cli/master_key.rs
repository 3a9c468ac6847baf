//! Where the master key comes from: a file, or the environment. Never the command line, which everybody on the machine can read.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use zeroize::Zeroizing;

use crate::model::MasterKeys;

/// Holds the key itself.
const VARIABLE: &str = "WINDLASS_MASTER_KEY";

#[derive(Args, Debug)]
pub(super) struct MasterKeyOptions {
    /// A file with the key that secrets are sealed with: 32 random bytes as base64, one key a line. The first seals; those
    /// behind it open what is older. Without the file, WINDLASS_MASTER_KEY holds the key itself
    #[arg(long, env = "WINDLASS_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,
}

impl MasterKeyOptions {
    /// The keys, if there are any.
    pub(super) fn read(&self) -> anyhow::Result<Option<MasterKeys>> {
        let variable = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(Zeroizing::new);
        match (&self.master_key_file, variable) {
            (Some(_), Some(_)) => bail!("the master key is given twice: by a file, and by {VARIABLE}; take one away"),
            (Some(file), None) => read_file(file).map(Some),
            (None, Some(text)) => {
                Ok(Some(MasterKeys::parse(&text).with_context(|| format!("the variable {VARIABLE}"))?))
            }
            (None, None) => Ok(None),
        }
    }
}

/// The keys in a file.
pub(super) fn read_file(file: &Path) -> anyhow::Result<MasterKeys> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.with_context(|| format!("cannot read the master key from {}", file.display()))?;
    MasterKeys::parse(&text).with_context(|| format!("the master key in {}", file.display()))
}
