//! Names that people give.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a component, workflow, step, signal or published key: 1 to 128 characters out of `a-z`, `A-Z`, `0-9`,
/// `.`, `_`, `:`, `/` and `-`. A failure's code has the same form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// A tenant: 1 to 63 characters out of `a-z`, `0-9` and `-`, neither first nor last a `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(Arc<str>);

/// Why a text cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Of a component, workflow, step, signal, key or failure code.
    #[error("`{0}` is no name: a name has 1 to 128 characters out of a-z, A-Z, 0-9, `.`, `_`, `:`, `/` and `-`")]
    Name(String),
    /// Of a namespace.
    #[error(
        "`{0}` is no namespace: it has 1 to 63 characters out of a-z, 0-9 and `-`, and neither begins nor ends with `-`"
    )]
    Namespace(String),
}

/// As much of a bad name as belongs in a message.
pub(super) fn beginning(text: &str) -> String {
    let mut beginning: String = text.chars().take(64).flat_map(char::escape_default).collect();
    if text.chars().nth(64).is_some() {
        beginning.push('…');
    }
    beginning
}

impl Name {
    /// Longest name in bytes, which are characters: names are ASCII.
    pub const LENGTH_MAX: usize = 128;

    /// Check a text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._:/-".contains(&c);
        if text.is_empty() || text.len() > Self::LENGTH_MAX || !text.bytes().all(allowed) {
            return Err(NameError::Name(beginning(text)));
        }
        Ok(Self(text.into()))
    }
}

impl Namespace {
    /// Longest namespace in bytes.
    pub const LENGTH_MAX: usize = 63;

    /// Check a text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let edge = text.starts_with('-') || text.ends_with('-');
        if text.is_empty() || text.len() > Self::LENGTH_MAX || edge || !text.bytes().all(allowed) {
            return Err(NameError::Namespace(beginning(text)));
        }
        Ok(Self(text.into()))
    }
}

macro_rules! text {
    ($name:ty) => {
        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}

text!(Name);
text!(Namespace);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        assert!(Name::new("orders/ship:v2.retry_now").is_ok());
        for bad in ["", "with space", "über", "semi;colon", "new\nline", &"x".repeat(129)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_namespace_could_stand_in_a_host_name() {
        assert!(Namespace::new("team-7").is_ok());
        for bad in ["", "Team", "-team", "team-", "team_7", &"x".repeat(64)] {
            assert!(Namespace::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_bad_name_is_shown_cut_and_escaped() {
        let message = Name::new(&"\u{1b}[31m".repeat(100)).unwrap_err().to_string();
        assert!(message.starts_with(r"`\u{1b}[31m"), "{message}");
        assert!(message.len() < 600, "{message}");
    }
}
