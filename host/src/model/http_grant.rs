//! What steps ask for and operators grant: requests to hosts, narrowed to methods and paths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::path_prefix::{Below, PathPrefix};
use super::{HostPattern, Target};

/// `HOST`, or narrower: `GET,POST api.example.com/v1/*`. Methods, separated by commas, and a blank; then a [`HostPattern`]; then
/// a path, which means itself and all below it. Without methods: all. Without a path: all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpGrant {
    /// In order, each once; none means all.
    methods: Vec<String>,
    host: HostPattern,
    path: Option<PathPrefix>,
}

/// Whether a grant allows a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allows {
    /// It is for other hosts.
    NotHost,
    /// It is for other methods of this host.
    NotMethod,
    /// It is for other paths of this host.
    NotPath,
    /// Whether it is for this path depends on who reads it; here is why.
    Unclear(&'static str),
    /// It does.
    Yes,
}

/// Why a text is no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no grant: write HOST, or METHODS HOST/PATH, as in `GET,POST api.example.com/v1/*`. HOST is a name, `*.` and a \
     name, or an IP address, with :PORT or :* behind it or not; a path has no escapes, no `..` and no `//`; CONNECT and TRACE \
     cannot be granted"
)]
pub struct HttpGrantError(String);

/// Methods that no step may use: the one makes a tunnel, through which anything could go, and the other echoes what the host
/// has put into a request.
const NEVER: [&str; 2] = ["CONNECT", "TRACE"];

/// Longest name of a method. `BASELINE-CONTROL` is the longest of the registered ones.
const METHOD_LENGTH_MAX: usize = 20;

impl HttpGrant {
    /// Longest grant in bytes.
    pub const LENGTH_MAX: usize = 1_024;

    /// Whether a method is one that a step may use: upper case, and neither `CONNECT` nor `TRACE`. Methods are compared by case,
    /// and servers are not sure whether they are.
    pub fn is_method(method: &str) -> bool {
        let plain = method.bytes().all(|c| c.is_ascii_uppercase() || c == b'-');
        plain && (1..=METHOD_LENGTH_MAX).contains(&method.len()) && !NEVER.contains(&method)
    }

    /// Whether it allows a request. `path`: without the query, as it is sent.
    pub fn allows(&self, method: &str, target: &Target, path: &str) -> Allows {
        if !self.host.matches(&target.host.to_string(), target.port, target.scheme.port()) {
            return Allows::NotHost;
        }
        if !self.methods.is_empty() && !self.methods.iter().any(|granted| granted == method) {
            return Allows::NotMethod;
        }
        match self.path.as_ref().map_or(Below::Yes, |prefix| prefix.covers(path)) {
            Below::Yes => Allows::Yes,
            Below::No => Allows::NotPath,
            Below::Unclear(reason) => Allows::Unclear(reason),
        }
    }

    /// Whether it allows all that `other` does.
    pub fn includes(&self, other: &Self) -> bool {
        let methods = self.methods.is_empty()
            || (!other.methods.is_empty() && other.methods.iter().all(|method| self.methods.contains(method)));
        let path = match (&self.path, &other.path) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own.includes(other),
        };
        methods && path && self.host.includes(&other.host)
    }

    /// Read grants that are separated by commas. A piece that can only be a method (`GET`) belongs to the grant behind it.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, HttpGrantError> {
        let mut grants = Vec::new();
        let mut methods = String::new();
        for piece in text.split(',').filter(|piece| !piece.is_empty()) {
            if Self::is_method(piece.trim()) {
                methods.push_str(piece.trim());
                methods.push(',');
                continue;
            }
            grants.push(format!("{}{}", std::mem::take(&mut methods), piece.trim()).parse()?);
        }
        if methods.is_empty() { Ok(grants) } else { Err(HttpGrantError::new(&methods)) }
    }
}

impl HttpGrantError {
    fn new(text: &str) -> Self {
        Self(text.chars().take(80).flat_map(char::escape_default).collect())
    }
}

impl FromStr for HttpGrant {
    type Err = HttpGrantError;

    fn from_str(text: &str) -> Result<Self, HttpGrantError> {
        let error = || HttpGrantError::new(text);
        if text.len() > Self::LENGTH_MAX {
            return Err(error());
        }
        let (methods, place) = match text.trim().split_once(' ') {
            Some((methods, place)) => (methods.split(',').map(str::to_owned).collect(), place.trim_start()),
            None => (Vec::new(), text.trim()),
        };
        let mut methods: Vec<String> = methods;
        // Methods without a host, and not a host called `GET`.
        let is_forgotten = methods.is_empty() && Self::is_method(place);
        if is_forgotten || !methods.iter().all(|method| Self::is_method(method)) {
            return Err(error());
        }
        methods.sort_unstable();
        methods.dedup();
        let (host, path) = place.find('/').map_or((place, None), |at| (&place[..at], Some(&place[at..])));
        let path = path.map(|path| PathPrefix::parse(path).ok_or_else(error)).transpose()?.flatten();
        Ok(Self { methods, host: host.parse().map_err(|_| error())?, path })
    }
}

impl From<HostPattern> for HttpGrant {
    fn from(host: HostPattern) -> Self {
        Self { methods: Vec::new(), host, path: None }
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.methods.is_empty() {
            write!(f, "{} ", self.methods.join(","))?;
        }
        write!(f, "{}", self.host)?;
        self.path.as_ref().map_or(Ok(()), |path| write!(f, "{path}"))
    }
}

impl TryFrom<String> for HttpGrant {
    type Error = HttpGrantError;

    fn try_from(text: String) -> Result<Self, HttpGrantError> {
        text.parse()
    }
}

impl From<HttpGrant> for String {
    fn from(grant: HttpGrant) -> Self {
        grant.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(grant: &str, method: &str, url: &str) -> Allows {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let target = Target::parse(scheme, authority).unwrap();
        grant.parse::<HttpGrant>().unwrap().allows(method, &target, path)
    }

    #[test]
    fn a_grant_is_as_narrow_as_it_says() {
        let grant = "GET,POST api.example.com/v1/*";
        assert_eq!(allows(grant, "GET", "https://api.example.com/v1/charges"), Allows::Yes);
        assert_eq!(allows(grant, "POST", "https://API.example.com:443/v1"), Allows::Yes);
        assert_eq!(allows(grant, "DELETE", "https://api.example.com/v1/charges"), Allows::NotMethod);
        assert_eq!(allows(grant, "GET", "https://api.example.com/v2"), Allows::NotPath);
        assert_eq!(allows(grant, "GET", "https://api.example.com:444/v1"), Allows::NotHost);
        assert_eq!(allows(grant, "GET", "https://example.com/v1"), Allows::NotHost);
        assert!(matches!(allows(grant, "GET", "https://api.example.com/v1/%2e%2e/x"), Allows::Unclear(_)));
    }

    #[test]
    fn a_host_alone_means_all_methods_and_paths() {
        assert_eq!(allows("127.0.0.1:*", "PURGE", "http://127.0.0.1:7/../a%2Fb;c//d"), Allows::Yes);
        assert_eq!(allows("api.example.com/", "GET", "http://api.example.com/x"), Allows::Yes);
    }

    #[test]
    fn one_grant_includes_another() {
        let includes = |one: &str, other: &str| one.parse::<HttpGrant>().unwrap().includes(&other.parse().unwrap());
        for (one, other) in [
            ("a.example", "GET a.example/v1"),
            ("GET,PUT a.example", "GET a.example"),
            ("a.example/v1", "a.example/v1/x"),
            ("127.0.0.1:*", "POST 127.0.0.1:80/x"),
        ] {
            assert!(includes(one, other) && !includes(other, one), "{one} {other}");
        }
        assert!(!includes("GET a.example", "a.example"));
        assert!(!includes("a.example/v1", "a.example"));
        assert!(!includes("a.example/v1", "a.example/v10"));
    }

    #[test]
    fn every_grant_is_written_as_it_is_read() {
        for text in ["a.example", "GET a.example", "GET,PUT *.a.example:8080/v1/*", "[2001:db8::1]:443/x/*"] {
            assert_eq!(text.parse::<HttpGrant>().unwrap().to_string(), text);
        }
        assert_eq!("PUT,GET,PUT a.example/v1/".parse::<HttpGrant>().unwrap().to_string(), "GET,PUT a.example/v1/*");
    }

    #[test]
    fn a_list_keeps_methods_with_their_host() {
        let list = HttpGrant::parse_list("a.example,GET,POST b.example/v1,127.0.0.1:*").unwrap();
        let list: Vec<_> = list.iter().map(ToString::to_string).collect();
        assert_eq!(list, ["a.example", "GET,POST b.example/v1/*", "127.0.0.1:*"]);
        assert!(HttpGrant::parse_list("").unwrap().is_empty());
        assert!(HttpGrant::parse_list("a.example,GET").is_err());
    }

    #[test]
    fn what_is_no_grant_is_refused() {
        for bad in [
            "",
            " ",
            "GET",
            "get a.example",
            "GET, a.example",
            "CONNECT a.example",
            "GET,TRACE a.example",
            "*",
            "https://a.example",
            "a.example/%2e",
            "a.example/../x",
            "a.example//x",
            "GET a.example b",
            "a.example?x",
        ] {
            assert!(bad.parse::<HttpGrant>().is_err(), "{bad:?}");
        }
    }
}
