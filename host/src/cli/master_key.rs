//! Where the master key comes from: a file, or the environment. Never the command line, which everybody on the machine can read.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use zeroize::Zeroizing;

use crate::model::MasterKeys;

/// Holds the key itself.
const VARIABLE: &str = "WINDLASS_MASTER_KEY";

#[derive(Args, Debug)]
pub(super) struct MasterKeyOptions {
    /// A file with the key that secrets and payloads are sealed with: 32 random bytes as base64, one key a line. The first seals; those
    /// behind it open what is older. Without the file, WINDLASS_MASTER_KEY holds the key itself
    #[arg(long, env = "WINDLASS_MASTER_KEY_FILE", value_name = "FILE")]
    master_key_file: Option<PathBuf>,
}

impl MasterKeyOptions {
    /// Where no other is given, the key in this file, which is made if it is not there.
    pub(super) fn or_kept_in(&mut self, file: PathBuf) -> anyhow::Result<()> {
        if self.master_key_file.is_none() && std::env::var_os(VARIABLE).is_none_or(|text| text.is_empty()) {
            make(&file).with_context(|| format!("cannot keep a master key in {}", file.display()))?;
            self.master_key_file = Some(file);
        }
        Ok(())
    }

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

/// Make a key in this file, if it is not there.
fn make(file: &Path) -> std::io::Result<()> {
    let key = MasterKeys::generate().map_err(std::io::Error::other)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut file) => file.write_all(key.as_bytes()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The keys in a file.
pub(super) fn read_file(file: &Path) -> anyhow::Result<MasterKeys> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    let text = text.with_context(|| format!("cannot read the master key from {}", file.display()))?;
    MasterKeys::parse(&text).with_context(|| format!("the master key in {}", file.display()))
}
