//! Headers of outgoing requests: what belongs to the connection is the host's, and what could be understood in two ways is
//! refused.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue};

use super::refusal::{Refusal, Rule};
use crate::model::Target;

/// What concerns one connection only (RFC 9110, 7.6.1), and what proxies and upgrades use.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("http2-settings"),
    http::header::EXPECT,
    TE,
    TRAILER,
    UPGRADE,
];

/// Make headers those that are sent. `authority`: as the URL has it.
pub(super) fn clean(headers: &mut HeaderMap, target: &Target, authority: &str) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(Rule::Invalid, message));
    if headers.get_all(HOST).iter().any(|host| host.as_bytes() != authority.as_bytes()) {
        return invalid("the header `host` is not the host of the URL");
    }
    // How a body is framed is for the host to say; two ways at once are how requests are smuggled past those that check them.
    if headers.contains_key(TRANSFER_ENCODING) {
        return invalid("the request has a header `transfer-encoding`, which the host sets by itself");
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if lengths.next().is_some_and(|length| !is_length(length)) || lengths.next().is_some() {
        return invalid("the header `content-length` is no number, or there more than once");
    }
    // `connection: x-secret` asks whoever comes next to drop a header.
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(named) {
        headers.remove(name);
    }
    // As it was understood, so that the service understands the same.
    match HeaderValue::from_str(&target.authority()) {
        Ok(host) => headers.insert(HOST, host),
        Err(_) => return invalid("the host of the URL cannot be sent"),
    };
    Ok(())
}

fn is_length(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(headers: &[(&'static str, &'static str)]) -> Result<Vec<String>, String> {
        let target: Target = "https://api.example.com".parse().unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        clean(&mut map, &target, "API.example.com:443").map_err(|refusal| refusal.message)?;
        let mut left: Vec<_> = map.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        Ok(left)
    }

    #[test]
    fn the_host_is_sent_as_it_was_understood() {
        assert_eq!(
            cleaned(&[("host", "API.example.com:443"), ("accept", "*/*")]).unwrap(),
            ["accept: */*", "host: api.example.com"]
        );
        assert_eq!(cleaned(&[]).unwrap(), ["host: api.example.com"]);
    }

    #[test]
    fn what_belongs_to_the_connection_does_not_pass() {
        let headers = [
            ("connection", "close, X-Drop"),
            ("x-drop", "1"),
            ("x-keep", "1"),
            ("keep-alive", "300"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("proxy-authorization", "x"),
            ("expect", "100-continue"),
        ];
        assert_eq!(cleaned(&headers).unwrap(), ["host: api.example.com", "x-keep: 1"]);
    }

    #[test]
    fn what_could_be_understood_in_two_ways_is_refused() {
        for headers in [
            &[("host", "evil.example")][..],
            &[("host", "API.example.com:443"), ("host", "evil.example")],
            &[("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity"), ("content-length", "5")],
            &[("content-length", "5"), ("content-length", "6")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "5, 5")],
            &[("content-length", "+5")],
            &[("content-length", "0x5")],
            &[("content-length", "")],
        ] {
            assert!(cleaned(headers).is_err(), "{headers:?}");
        }
        assert!(cleaned(&[("content-length", "5")]).is_ok());
    }
}
