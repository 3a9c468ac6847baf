//! The API key that the command line sends, and whose name stands in the audit log where it writes to the database itself.

use std::path::Path;

use anyhow::Context as _;

use crate::model::{ApiKey, Who};

/// The variable that a key is taken from.
const VARIABLE: &str = "WINDLASS_API_KEY";

/// The key of the file, or else of the environment; none if neither is there.
///
/// No option takes the key itself: what stands on a command line is seen by everybody on the machine, with `ps`, and is kept in
/// the shell's history.
pub(super) fn api_key(file: Option<&Path>) -> anyhow::Result<Option<ApiKey>> {
    let (text, place) = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            (text, file.display().to_string())
        }
        None => match std::env::var(VARIABLE) {
            Ok(text) if !text.is_empty() => (text, VARIABLE.to_owned()),
            _ => return Ok(None),
        },
    };
    Ok(Some(text.trim().parse().with_context(|| format!("in {place}"))?))
}

/// The account that this process runs under, as it calls itself: whoever has the database's password could write any name.
pub(super) fn account() -> Who {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|variable| std::env::var(variable).ok());
    let is_plain = |name: &String| !name.is_empty() && name.len() <= 64 && !name.contains(char::is_control);
    Who::Cli(name.filter(is_plain).unwrap_or_else(|| format!("uid-{}", rustix::process::geteuid().as_raw())))
}
