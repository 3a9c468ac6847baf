//! The file of `--limits`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::{LimitError, parse_limit};
use crate::sandbox::Limits;

/// A limit in the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Number(u64),
    Text(String),
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LimitsError {
    #[error("it is no TOML table of numbers by name: {0}")]
    Toml(#[from] toml::de::Error),
    #[error("it is no JSON object of numbers by name: {0}")]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// The limits of a host whose operator wrote this; what is not in it has its default.
pub(super) fn parse(text: &str, is_json: bool) -> Result<Limits, LimitsError> {
    let values: BTreeMap<String, Value> = if is_json { serde_json::from_str(text)? } else { toml::from_str(text)? };
    let mut limits = Limits::default();
    for (name, value) in values {
        let number = match value {
            Value::Number(number) => number,
            Value::Text(text) => parse_limit(&name, &text)?,
        };
        limits.set(&name, number)?;
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_what_it_names_and_nothing_else() {
        let toml = "memory_bytes = \"32MiB\"\nopen_calls = 100 # few\nstep_instances = 8";
        let json = r#"{ "memory_bytes": 33554432, "open_calls": 100, "step_instances": "8" }"#;
        let (toml, json) = (parse(toml, false).unwrap(), parse(json, true).unwrap());
        assert_eq!(toml, json);
        assert_eq!((toml.guest.memory_bytes, toml.guest.open_calls, toml.step_instances), (32 << 20, 100, 8));
        let mut default = toml;
        default.guest.memory_bytes = 64 << 20;
        default.guest.open_calls = 10_000;
        default.step_instances = 512;
        assert_eq!(default, Limits::default());
    }

    #[test]
    fn a_name_that_is_no_limit_is_an_error() {
        let error = parse("memory = 1", false).unwrap_err();
        assert!(error.to_string().contains("`memory`"), "{error}");
        assert!(matches!(parse("[open_calls]", false), Err(LimitsError::Toml(_))));
    }
}
