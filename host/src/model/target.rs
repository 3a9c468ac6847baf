//! Where a request goes, read strictly: what is compared with grants, looked up and connected to is this one value.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::host_pattern::is_name;

/// A scheme, a host and a port: `https://api.example.com`, `http://127.0.0.1:8080`. In JSON, that text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Who.
    pub host: TargetHost,
    /// 1 to 65,535.
    pub port: u16,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// Whom a request is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetHost {
    /// An address, as the one way to write it.
    Address(IpAddr),
    /// A name of labels out of `a-z`, `0-9` and `-`, in lower case and without the dot at the end.
    Name(String),
}

/// Why a text says not clearly where a request goes. What two readers could understand differently is refused, not guessed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither `http` nor `https`.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// Nothing.
    #[error("the URL has no host")]
    Empty,
    /// `user:password@host`.
    #[error("the URL has a user name before its host; send an `authorization` header instead")]
    User,
    /// A space, a backslash, a control character, `%`, or something that is not ASCII.
    #[error("the host has a character that no host has; write international names in their ASCII form (`xn--…`)")]
    Character,
    /// Not 1 to 65,535 in plain decimal.
    #[error("the port is no number from 1 to 65535, written without zeros before it")]
    Port,
    /// Brackets without an IPv6 address in them.
    #[error("what stands in brackets is no IPv6 address; a zone (`%eth0`) is not allowed")]
    Brackets,
    /// `127.1`, `0x7f000001`, `2130706433`, `0177.0.0.1`, `1.2.3.4.`, …
    #[error("the host ends in a number and is no IPv4 address of four plain decimal numbers")]
    Number,
    /// Labels that are empty, too long, or begin or end with `-`.
    #[error("the host is neither a name (labels of letters, digits and `-`) nor an IP address")]
    Name,
    /// A path, a query or a fragment behind the host.
    #[error("only a scheme, a host and a port are wanted: `https://api.example.com`")]
    More,
}

impl Scheme {
    /// The port when none is given.
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// As it stands in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Target {
    /// Read the scheme and the authority (`HOST` or `HOST:PORT`) of a URL.
    pub fn parse(scheme: &str, authority: &str) -> Result<Self, TargetError> {
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(TargetError::Scheme),
        };
        if authority.is_empty() {
            return Err(TargetError::Empty);
        }
        if authority.contains('@') {
            return Err(TargetError::User);
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or(TargetError::Brackets)?;
                let address: Ipv6Addr = address.parse().map_err(|_| TargetError::Brackets)?;
                let port = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix(':').ok_or(TargetError::Brackets)?),
                };
                (TargetHost::Address(IpAddr::V6(address)), port)
            }
            None => {
                let (host, port) = authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p)));
                (host.parse()?, port)
            }
        };
        let port = port.map_or(Ok(scheme.port()), read_port)?;
        Ok(Self { scheme, host, port })
    }

    /// `HOST`, or `HOST:PORT` if the port is not that of the scheme: what belongs into the header `host`.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.port() { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

fn read_port(text: &str) -> Result<u16, TargetError> {
    // `str::parse` would take `+80`.
    let plain = (1..=5).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| plain).ok_or(TargetError::Port)
}

/// A host without brackets and port.
impl FromStr for TargetHost {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        if !text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c)) {
            return Err(TargetError::Character);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        // As browsers decide it (WHATWG URL, "ends in a number"): whoever reads it generously would take it for an address.
        if name.rsplit('.').next().is_some_and(is_number) {
            let address = text.parse::<Ipv4Addr>();
            return address.map(|address| Self::Address(IpAddr::V4(address))).map_err(|_| TargetError::Number);
        }
        if is_name(&name) { Ok(Self::Name(name)) } else { Err(TargetError::Name) }
    }
}

fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_hexdigit()));
    hexadecimal || (!label.is_empty() && label.bytes().all(|c| c.is_ascii_digit()))
}

impl fmt::Display for TargetHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (scheme, authority) = text.split_once("://").ok_or(TargetError::Scheme)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(TargetError::More);
        }
        Self::parse(scheme, authority)
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authority: &str) -> Result<String, TargetError> {
        Target::parse("http", authority).map(|target| format!("{} {}", target.host, target.port))
    }

    #[test]
    fn a_host_has_one_way_to_be_written() {
        for (text, expected) in [
            ("api.example.com", "api.example.com 80"),
            ("API.Example.COM:8080", "api.example.com 8080"),
            ("api.example.com.", "api.example.com 80"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example 80"),
            ("127.0.0.1:9", "127.0.0.1 9"),
            ("[0:0:0:0:0:0:0:1]:443", "[::1] 443"),
            ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4] 80"),
            ("localhost:65535", "localhost 65535"),
            ("1password.com", "1password.com 80"),
            ("4.example", "4.example 80"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_port_belongs_to_its_scheme() {
        let target: Target = "https://api.example.com:443".parse().unwrap();
        assert_eq!((target.port, target.authority().as_str()), (443, "api.example.com"));
        assert_eq!("http://[::1]:81/".parse::<Target>().unwrap().to_string(), "http://[::1]:81");
        assert_eq!("HTTPS://A.example".parse::<Target>().unwrap().to_string(), "https://a.example");
        for bad in ["api.example.com", "ftp://a.example", "https://a.example/v1", "https://a.example?x", "https://"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_understood_is_understood_again_as_the_same(authority in ".{0,40}|[0-9a-fx.:\\[\\]%@-]{0,30}") {
            if let Ok(target) = Target::parse("https", &authority) {
                proptest::prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
            }
        }
    }
}
