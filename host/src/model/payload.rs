//! Values on their way through Windlass.

use std::fmt;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// One JSON document in UTF-8, checked. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

/// Why bytes cannot be a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Too long.
    #[error(
        "the payload has {length} bytes, and {limit} are the most (payload_bytes); keep the data elsewhere and pass a reference"
    )]
    TooLarge {
        /// What it has, in bytes.
        length: usize,
        /// What it may have, in bytes.
        limit: usize,
    },
    /// Not JSON.
    #[error("the payload is no JSON document: {0}")]
    Invalid(String),
}

impl Payload {
    /// Check bytes: at most `limit` of them, in UTF-8, one JSON document, at most 128 levels deep. No tree is built.
    pub fn new(bytes: impl Into<Bytes>, limit: usize) -> Result<Self, PayloadError> {
        let bytes = bytes.into();
        if bytes.len() > limit {
            return Err(PayloadError::TooLarge { length: bytes.len(), limit });
        }
        Self::check(&bytes)?;
        // Most parsers stop there, and a guest should not find that out later.
        if depth(&bytes) > DEPTH_MAX {
            return Err(PayloadError::Invalid(format!("it is nested more than {DEPTH_MAX} levels deep")));
        }
        Ok(Self(bytes))
    }

    /// Whether bytes are one JSON document in UTF-8, however long and deep.
    pub fn check(bytes: &[u8]) -> Result<(), PayloadError> {
        // What is skipped is not checked for UTF-8 by serde_json.
        let text = std::str::from_utf8(bytes).map_err(|error| PayloadError::Invalid(error.to_string()))?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| PayloadError::Invalid(error.to_string()))?;
        Ok(())
    }

    /// Bytes that were checked before: they come from the database.
    pub fn stored(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The document `null`: no value.
    pub fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// What serde makes of a value that JSON can say.
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_vec(value).expect("values of our own can be said in JSON").into())
    }

    /// The document's bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The document as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when it came in")
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no JSON document is empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Levels of nesting that a document may have.
const DEPTH_MAX: usize = 128;

/// How deeply a JSON document is nested.
fn depth(document: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in document {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    deepest
}

/// The document itself, not a string that holds it.
impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(raw.get().to_owned().into()))
    }
}

impl fmt::Debug for Payload {
    /// The length only: a tenant's data stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf8_is_a_payload() {
        for good in ["null", " 1 ", r#"{"a":[1,2,{"b":"ü"}]}"#, r#""\ud800\udc00""#] {
            assert!(Payload::new(good.as_bytes().to_vec(), 100).is_ok(), "{good}");
        }
        for bad in ["", "{", "1 2", "nul", "'a'", "\"\u{1}\""] {
            assert!(matches!(Payload::new(bad.as_bytes().to_vec(), 100), Err(PayloadError::Invalid(_))), "{bad:?}");
        }
        assert!(matches!(Payload::new(b"\"\xff\"".to_vec(), 100), Err(PayloadError::Invalid(_))));
    }

    #[test]
    fn depth_and_length_are_limited() {
        let nested = |levels| Payload::new(("[".repeat(levels) + &"]".repeat(levels)).into_bytes(), 1000);
        assert!(nested(128).is_ok());
        assert!(matches!(nested(129), Err(PayloadError::Invalid(_))));
        let text = format!("[\"{}\\\"{}\"]", "[".repeat(200), "{".repeat(200));
        assert!(Payload::new(text.into_bytes(), 1000).is_ok());
        assert_eq!(Payload::new(b"12345".to_vec(), 4), Err(PayloadError::TooLarge { length: 5, limit: 4 }));
    }

    #[test]
    fn it_serializes_as_the_document_that_it_is() {
        let payload = Payload::new(br#"{"a": 1}"#.to_vec(), 100).unwrap();
        assert_eq!(serde_json::to_string(&[payload]).unwrap(), r#"[{"a": 1}]"#);
    }
}
