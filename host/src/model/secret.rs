//! Secrets that the host puts into requests, so that guests need not hold them.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Name, Scheme, Target, TargetHost};

/// A value that only the host and the service it is for ever see. Its memory is cleared when it is dropped; it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Zeroizing<Vec<u8>>);

/// Where a secret may be put: into one header of requests to these places, and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretBinding {
    /// Exactly these: no patterns.
    #[serde(rename = "for")]
    pub targets: Vec<Target>,
    /// In lower case.
    pub header: String,
}

/// A secret at hand.
#[derive(Clone, Debug)]
pub struct Secret {
    /// Its name in the namespace.
    pub name: Name,
    /// Where it may be put.
    pub binding: SecretBinding,
    /// What it is.
    pub value: SecretValue,
}

/// Why a text cannot be a secret. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretValueError {
    /// Too short or too long.
    #[error(
        "a secret has {min} to {max} bytes, and this one has {0}",
        min = SecretValue::BYTES.start(),
        max = SecretValue::BYTES.end()
    )]
    Length(usize),
    /// Something that no header can hold.
    #[error(
        "a secret is one line of plain ASCII, with no blank at either end: it becomes (a part of) a header's value"
    )]
    Characters,
}

/// Why a secret cannot be bound so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretBindingError {
    /// For nobody, or for too many.
    #[error("a secret is for 1 to {max} places, and this one for {0}", max = SecretBinding::TARGETS_MAX)]
    Targets(usize),
    /// In the clear, over a network.
    #[error("`{0}` would carry the secret in the clear: write https, or http and a loopback address")]
    InTheClear(Target),
    /// No header of that name, or one that the host sets itself.
    #[error("`{0}` is no header that a secret can be put into; `authorization` and `x-api-key` are such")]
    Header(String),
}

/// Headers that say how a request is framed and routed.
const NOT_FOR_SECRETS: [&str; 12] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl SecretValue {
    /// How long a secret may be. A shorter one could be guessed, and could not be told from other text in an answer.
    pub const BYTES: std::ops::RangeInclusive<usize> = 8..=4_096;

    /// Check a text.
    pub fn new(text: Zeroizing<Vec<u8>>) -> Result<Self, SecretValueError> {
        if !Self::BYTES.contains(&text.len()) {
            return Err(SecretValueError::Length(text.len()));
        }
        let blank = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_whitespace);
        let plain = text.iter().all(|byte| (b' '..=b'~').contains(byte));
        if !plain || blank(text.first()) || blank(text.last()) {
            return Err(SecretValueError::Characters);
        }
        Ok(Self(text))
    }

    /// The value itself. For the one place where it goes out, for those that look for it in what comes back, and for sealing.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(…)")
    }
}

impl SecretBinding {
    /// Most places.
    pub const TARGETS_MAX: usize = 16;

    /// Check it, and write the header's name in the one way.
    pub fn new(targets: Vec<Target>, header: &str) -> Result<Self, SecretBindingError> {
        if !(1..=Self::TARGETS_MAX).contains(&targets.len()) {
            return Err(SecretBindingError::Targets(targets.len()));
        }
        if let Some(target) = targets.iter().find(|target| !is_safe(target)) {
            return Err(SecretBindingError::InTheClear(target.clone()));
        }
        let lower = header.to_ascii_lowercase();
        let plain = (1..=64).contains(&lower.len())
            && lower.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_".contains(&c));
        if !plain || NOT_FOR_SECRETS.contains(&&*lower) {
            return Err(SecretBindingError::Header(header.chars().take(64).flat_map(char::escape_default).collect()));
        }
        Ok(Self { targets, header: lower })
    }

    /// Whether a secret may be put into a header of a request. `header` in lower case.
    pub fn allows(&self, target: &Target, header: &str) -> bool {
        self.header == header && self.targets.contains(target) && is_safe(target)
    }
}

/// Whether nobody on the way can read what is sent.
fn is_safe(target: &Target) -> bool {
    target.scheme == Scheme::Https || matches!(target.host, TargetHost::Address(address) if address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<SecretValue, SecretValueError> {
        SecretValue::new(Zeroizing::new(text.as_bytes().to_vec()))
    }

    fn binding(target: &str, header: &str) -> Result<SecretBinding, SecretBindingError> {
        SecretBinding::new(vec![target.parse().unwrap()], header)
    }

    #[test]
    fn a_secret_fits_into_a_header_and_is_never_shown() {
        let secret = value("sk_live_0123").unwrap();
        assert_eq!(format!("{secret:?}"), "SecretValue(…)");
        assert_eq!(value("short"), Err(SecretValueError::Length(5)));
        assert_eq!(value(&"x".repeat(4_097)), Err(SecretValueError::Length(4_097)));
        for bad in ["with\nnewline", "with\rreturn", "with\0nothing", " blank before", "blank after ", "übersecret"] {
            assert_eq!(value(bad), Err(SecretValueError::Characters), "{bad:?}");
        }
    }

    #[test]
    fn a_secret_goes_where_it_was_bound_to_and_nowhere_else() {
        let bound = binding("https://api.example.com", "Authorization").unwrap();
        let allows = |target: &str, header: &str| bound.allows(&target.parse().unwrap(), header);
        assert!(allows("https://api.example.com:443", "authorization"));
        assert!(!allows("https://api.example.com", "x-api-key"));
        assert!(!allows("http://api.example.com", "authorization"));
        assert!(!allows("http://api.example.com:443", "authorization"));
        assert!(!allows("https://api.example.com:8443", "authorization"));
        assert!(!allows("https://api.example.com.evil.org", "authorization"));
        assert!(!allows("https://example.com", "authorization"));
    }

    #[test]
    fn a_secret_is_not_bound_to_what_others_can_read() {
        assert!(binding("http://127.0.0.1:8080", "authorization").is_ok());
        assert!(binding("http://[::1]:8080", "x-api-key").is_ok());
        for target in ["http://api.example.com", "http://localhost", "http://10.0.0.1", "http://[::ffff:127.0.0.1]"] {
            assert!(matches!(binding(target, "authorization"), Err(SecretBindingError::InTheClear(_))), "{target}");
        }
        for header in ["", "Host", "content-length", "transfer-encoding", "a b", "a:b", "a\r\nb", "über"] {
            assert!(matches!(binding("https://a.example", header), Err(SecretBindingError::Header(_))), "{header:?}");
        }
        assert_eq!(SecretBinding::new(Vec::new(), "authorization"), Err(SecretBindingError::Targets(0)));
    }
}
