//! Hosts that steps ask for and operators grant.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `HOST`, `HOST:PORT` or `HOST:*`, where `HOST` is a name, `*.` and a name (any name below it), or an IP address (IPv6
/// in brackets). Without a port: the port of the scheme.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    host: Host,
    port: Port,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Host {
    Address(IpAddr),
    Name(String),
    /// Without the `*.`.
    Below(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Port {
    OfScheme,
    Any,
    Number(u16),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no host: write HOST, HOST:PORT or HOST:*, where HOST is a name, `*.` and a name, or an IP address")]
pub struct HostPatternError(String);

impl HostPattern {
    /// Whether a request may go there. `host` as in a URL; `port` the number, given or of the scheme; `port_of_scheme`
    /// the one that the scheme has when none is given.
    pub fn matches(&self, host: &str, port: u16, port_of_scheme: u16) -> bool {
        let port_matches = match self.port {
            Port::Any => true,
            Port::OfScheme => port == port_of_scheme,
            Port::Number(number) => port == number,
        };
        port_matches && self.host.matches(host)
    }
}

impl HostPattern {
    /// Whether it matches all that `other` does.
    pub fn includes(&self, other: &Self) -> bool {
        let port = self.port == Port::Any || self.port == other.port;
        let host = match (&self.host, &other.host) {
            (Host::Below(parent), Host::Below(other)) => parent == other || self.host.matches(other),
            (Host::Below(_), Host::Name(name)) => self.host.matches(name),
            (own, other) => own == other,
        };
        port && host
    }
}

impl Host {
    fn matches(&self, host: &str) -> bool {
        match self {
            // As an address, not as text: `127.1` and `[::0001]` are ways to write one.
            Self::Address(address) => parse_address(host).is_some_and(|host| host == *address),
            Self::Name(name) => host.trim_end_matches('.').eq_ignore_ascii_case(name),
            Self::Below(parent) => host
                .trim_end_matches('.')
                .to_ascii_lowercase()
                .strip_suffix(parent)
                .is_some_and(|child| child.ends_with('.') && child.len() > 1 && child.bytes().all(is_of_name)),
        }
    }
}

/// What names of hosts are made of, also of those that are none by the book.
fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}

fn parse_address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.map_or_else(|| host.parse().ok(), |bare| bare.parse().ok().map(IpAddr::V6))
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || HostPatternError(text.chars().take(80).flat_map(char::escape_default).collect());
        // The colons of an IPv6 address stand before its closing bracket.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            None => Port::OfScheme,
            Some("*") => Port::Any,
            Some(number) => Port::Number(number.parse().ok().filter(|port| *port > 0).ok_or_else(error)?),
        };
        if let Some(address) = parse_address(host) {
            return Ok(Self { host: Host::Address(address), port });
        }
        let lower = host.to_ascii_lowercase();
        let (name, below) = lower.strip_prefix("*.").map_or((&*lower, false), |name| (name, true));
        if !is_name(name) {
            return Err(error());
        }
        let host = if below { Host::Below(name.to_owned()) } else { Host::Name(name.to_owned()) };
        Ok(Self { host, port })
    }
}

/// Labels of letters, digits and hyphens (RFC 1123). One made of digits only at the end would be an address.
pub(super) fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        plain && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let last_is_number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|c| c.is_ascii_digit()));
    name.len() <= 253 && name.split('.').all(label) && !last_is_number
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Name(name) => f.write_str(name)?,
            Host::Below(parent) => write!(f, "*.{parent}")?,
        }
        match self.port {
            Port::OfScheme => Ok(()),
            Port::Any => f.write_str(":*"),
            Port::Number(number) => write!(f, ":{number}"),
        }
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, host: &str, port: u16) -> bool {
        pattern.parse::<HostPattern>().unwrap().matches(host, port, 443)
    }

    #[test]
    fn a_name_means_that_host_on_the_port_of_the_scheme() {
        assert!(matches("api.example.com", "API.example.com", 443));
        assert!(matches("api.example.com", "api.example.com.", 443));
        assert!(!matches("api.example.com", "api.example.com", 8443));
        assert!(!matches("api.example.com", "example.com", 443));
        assert!(!matches("api.example.com", "api.example.com.evil.org", 443));
    }

    #[test]
    fn a_star_means_any_name_below_and_not_the_name_itself() {
        assert!(matches("*.example.com", "a.example.com", 443));
        assert!(matches("*.example.com", "a.b.example.com", 443));
        assert!(!matches("*.example.com", "example.com", 443));
        assert!(!matches("*.example.com", ".example.com", 443));
        assert!(!matches("*.example.com", "badexample.com", 443));
        assert!(matches("*.example.com", "_a-b.example.com", 443));
        assert!(!matches("*.example.com", "a. .example.com", 443));
        assert!(!matches("*.example.com", "user@a.example.com", 443));
    }

    #[test]
    fn an_address_is_compared_as_an_address() {
        assert!(matches("127.0.0.1:*", "127.0.0.1", 9));
        assert!(!matches("127.0.0.1:*", "127.0.0.2", 9));
        assert!(matches("[::1]:80", "[0:0:0:0:0:0:0:1]", 80));
        assert!(!matches("localhost:*", "127.0.0.1", 9));
    }

    #[test]
    fn one_pattern_includes_another() {
        let includes = |one: &str, other: &str| one.parse::<HostPattern>().unwrap().includes(&other.parse().unwrap());
        for (one, other) in [
            ("a.example", "A.example"),
            ("a.example:*", "a.example:8080"),
            ("a.example:*", "a.example"),
            ("*.example", "b.a.example"),
            ("*.example", "*.a.example"),
            ("127.0.0.1:*", "127.0.0.1:9"),
        ] {
            assert!(includes(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("a.example", "a.example:8080"),
            ("a.example:8080", "a.example:*"),
            ("*.example", "example"),
            ("a.example", "*.example"),
            ("127.0.0.1", "[::1]"),
        ] {
            assert!(!includes(one, other), "{one} {other}");
        }
    }

    #[test]
    fn every_pattern_is_written_as_it_is_read() {
        for text in ["a.example", "a.example:8080", "*.a.example:*", "10.0.0.1", "[2001:db8::1]:443"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in
            ["", "*", "*.", "a b", "http://a", "a/b", "a:0", "a:99999", "a:", "1.2.3", "-a", "a..b", "[::1", "user@a"]
        {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad:?}");
        }
    }
}
