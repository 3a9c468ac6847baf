//! Paths that a grant is narrowed to.

use std::fmt;

/// A path and all below it, segment by segment: `/v1` means `/v1`, `/v1/` and `/v1/charges`, and not `/v10`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPrefix(Vec<String>);

/// Whether the path of a request is below a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// However a server reads it.
    Yes,
    /// However a server reads it.
    No,
    /// One server would say so, and another would not; here is why.
    Unclear(&'static str),
}

impl PathPrefix {
    /// Longest prefix in bytes.
    pub const LENGTH_MAX: usize = 512;

    /// Read `/v1`, `/v1/` or `/v1/*`, which mean the same. `None`: it is no path that could be compared. `Some(None)`: all
    /// paths, `/` or `/*`.
    pub fn parse(text: &str) -> Option<Option<Self>> {
        let path = text.strip_prefix('/').filter(|_| text.len() <= Self::LENGTH_MAX)?;
        let path = if path == "*" { "" } else { path.strip_suffix("/*").unwrap_or(path) };
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Some(None);
        }
        // No escapes: a prefix has one way to be written.
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~!$&()+,=:@".contains(&c);
        let segment =
            |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(plain);
        path.split('/').all(segment).then(|| Some(Self(path.split('/').map(str::to_owned).collect())))
    }

    /// Whether all that is below `other` is below this.
    pub fn includes(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// Whether a path (without its query) is below, for servers that resolve `..`, `//` and escapes and for those that do
    /// not: a path is sent as the guest wrote it, so both must agree.
    pub fn covers(&self, path: &str) -> Below {
        if path.contains('\\') {
            return Below::Unclear("a backslash, which some servers take for a slash");
        }
        let mut depth = 0_usize;
        let mut wanted = self.0.iter();
        let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
        while let Some(raw) = segments.next() {
            let segment = match read(raw) {
                Ok(segment) => segment,
                Err(reason) => return Below::Unclear(reason),
            };
            match (wanted.next(), segment) {
                (Some(wanted), _) if raw == wanted => {}
                (Some(wanted), Segment::Name) => {
                    let is_same = decode(raw).is_ok_and(|text| text == wanted.as_bytes());
                    return if is_same {
                        Below::Unclear("an escape that stands for a plain character")
                    } else {
                        Below::No
                    };
                }
                // `/v1/` is just shorter than `/v1/pay`.
                (Some(_), Segment::Here) if raw.is_empty() && segments.peek().is_none() => return Below::No,
                (Some(_), _) => return Below::Unclear("`.`, `..` or `//` before the granted path"),
                // Counted as the server would that skips most.
                (None, Segment::Name) => depth += 1,
                (None, Segment::Here) => {}
                (None, Segment::Up) if depth == 0 => return Below::Unclear("`..` that leads out of the granted path"),
                (None, Segment::Up) => depth -= 1,
            }
        }
        if wanted.next().is_none() { Below::Yes } else { Below::No }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    Name,
    /// Empty, or `.`, or nothing but parameters.
    Here,
    /// `..`
    Up,
}

fn read(raw: &str) -> Result<Segment, &'static str> {
    let text = decode(raw)?;
    if std::str::from_utf8(&text).is_err() {
        return Err("escapes that are no UTF-8, which some servers take for `.` or `/`");
    }
    // What was escaped twice, some servers read twice.
    let twice =
        text.windows(3).filter(|escape| escape[0] == b'%').filter_map(|escape| hexadecimal(escape[1], escape[2]));
    if twice.into_iter().any(|byte| is_control(byte) || b"./\\%; ".contains(&byte)) {
        return Err("an escape that was escaped again");
    }
    if text.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
        return Err("an escaped slash or backslash");
    }
    if text.iter().copied().any(is_control) {
        return Err("an escaped control character");
    }
    match &text[..] {
        b"" | b"." => return Ok(Segment::Here),
        b".." => return Ok(Segment::Up),
        // To servers that know parameters of segments there is nothing before them; to others it is a name, which does no harm.
        [b';', ..] => return Ok(Segment::Here),
        _ => {}
    }
    // `..;x=1` is `..` to servers that know parameters of segments, and `.. ` to those that trim.
    let name = text.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if matches!(name, b"" | b"." | b"..") {
        return Err("`.` or `..` with something behind it that some servers drop");
    }
    Ok(Segment::Name)
}

fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

fn hexadecimal(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Without escapes.
fn decode(raw: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = raw.bytes();
    let mut text = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            text.push(byte);
            continue;
        }
        let escaped = bytes.next().zip(bytes.next()).and_then(|(high, low)| hexadecimal(high, low));
        text.push(escaped.ok_or("a `%` that begins no escape")?);
    }
    Ok(text)
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.0 {
            write!(f, "/{segment}")?;
        }
        f.write_str("/*")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(path: &str) -> Below {
        PathPrefix::parse("/v1/pay").unwrap().unwrap().covers(path)
    }

    #[test]
    fn a_path_is_compared_segment_by_segment() {
        for path in [
            "/v1/pay",
            "/v1/pay/",
            "/v1/pay/7",
            "/v1/pay/a/../b",
            "/v1/pay/./x",
            "/v1/pay//x",
            "/v1/pay/a%20b",
            "/v1/pay/a;b=1/c",
            "/v1/pay/;b=1",
            "/v1/pay/100%25",
            "/v1/pay/b%C3%BCcher",
        ] {
            assert_eq!(covers(path), Below::Yes, "{path}");
        }
        for path in ["/", "/v1", "/v1/", "/v1/payments", "/v2/pay", "/V1/pay", "/v1/pa", "/x/v1/pay", "/v1/pay;x"] {
            assert_eq!(covers(path), Below::No, "{path}");
        }
    }

    #[test]
    fn what_servers_read_differently_is_not_below() {
        for path in [
            "/v1/pay/..",
            "/v1/pay/../admin",
            "/v1/pay/%2e%2e/admin",
            "/v1/pay/%2E./admin",
            "/v1/pay/.%2e/admin",
            "/v1/pay/a/../../admin",
            "/v1/pay//../admin",
            "/v1/pay/./../admin",
            "/v1/../v1/pay",
            "/admin/../v1/pay",
            "//v1/pay",
            "/./v1/pay",
            "/v1//pay",
            "/v1/%70ay",
            "/%76%31/pay",
            "/v1/pay/%2f..%2f..%2fadmin",
            "/v1/pay%2fx",
            "/v1/pay/..%5cadmin",
            "/v1/pay/..\\admin",
            "/v1/pay/%252e%252e/admin",
            "/v1/pay/%252fadmin",
            "/v1/pay/..;/admin",
            "/v1/pay/..;x=1/admin",
            "/v1/pay/%2e%2e;/admin",
            "/v1/pay/..%20/admin",
            // Without its parameters, nothing: `/v1/pay//../admin`.
            "/v1/pay/;x/../admin",
            "/v1/pay/;/../admin",
            "/v1/pay/%3b/../admin",
            "/v1/pay/%253b/../admin",
            "/v1/pay/..%2520/admin",
            // An overlong `..`.
            "/v1/pay/%c0%ae%c0%ae/admin",
            "/v1/pay/%c0%af../admin",
            "/v1/pay/%00",
            "/v1/pay/%0d%0a",
            "/v1/pay/%",
            "/v1/pay/%2",
            "/v1/pay/%zz",
        ] {
            assert!(matches!(covers(path), Below::Unclear(_) | Below::No), "{path}: {:?}", covers(path));
        }
        assert!(matches!(covers("/v1/pay/%2e%2e/admin"), Below::Unclear(_)));
    }

    #[test]
    fn a_prefix_is_written_in_one_way() {
        for text in ["/v1", "/v1/", "/v1/*"] {
            assert_eq!(PathPrefix::parse(text).unwrap().unwrap().to_string(), "/v1/*");
        }
        assert_eq!(PathPrefix::parse("/"), Some(None));
        assert_eq!(PathPrefix::parse("/*"), Some(None));
        for bad in ["", "v1", "/v1/../x", "/v1//x", "/a%20b", "/a b", "/v1/*/x", "/a;b", "/a?b", "/a#b", "/a\\b", "/."]
        {
            assert_eq!(PathPrefix::parse(bad), None, "{bad}");
        }
    }

    /// What a server makes of a path that decodes so often and skips empty segments, `.` and `..`; and what is behind a `;`, if
    /// it knows parameters.
    fn resolved(path: &str, times: usize, knows_parameters: bool) -> Vec<Vec<u8>> {
        let mut segments: Vec<Vec<u8>> = Vec::new();
        for raw in path.split('/') {
            let mut text = raw.to_owned();
            for _ in 0..times {
                text = String::from_utf8_lossy(&decode(&text).unwrap_or(text.into_bytes())).into_owned();
            }
            let name = if knows_parameters { text.split(';').next().unwrap_or_default() } else { &*text };
            match name.trim_ascii() {
                "" | "." => {}
                ".." => drop(segments.pop()),
                name => segments.push(name.as_bytes().to_vec()),
            }
        }
        segments
    }

    proptest::proptest! {
        #[test]
        fn what_is_below_stays_below_for_a_server_that_resolves(
            path in "(/v1/pay)?(/(v1|pay|\\.|%2e|%2E|\\.\\.|;|%3b|a|%2f|%70ay|%25|%252e|%253b|%20|\\\\)*){0,8}"
        ) {
            if covers(&path) == Below::Yes {
                for (times, knows_parameters) in [(0, false), (0, true), (1, false), (1, true), (2, false), (2, true)] {
                    let resolved = resolved(&path, times, knows_parameters);
                    proptest::prop_assert!(resolved.starts_with(&[b"v1".to_vec(), b"pay".to_vec()]), "{}", path);
                }
                proptest::prop_assert!(path.starts_with("/v1/pay"), "{}", path);
            }
        }
    }
}
