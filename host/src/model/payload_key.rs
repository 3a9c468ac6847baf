//! Payloads that the database keeps sealed (`migrations/0026_sealed_payloads.sql`).
//!
//! ```text
//! 01 | id of the data key, 16 bytes | what DataKey::seal makes of the payload
//! ```
//!
//! No JSON begins with 01: what is sealed is told from what is not by its first byte. A text is the same in base64, after a
//! character 01. The namespace is authenticated; the row is not, because the database itself moves payloads from one to another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use uuid::Uuid;

use super::{DataKey, Namespace, SealError};

const MARK: u8 = 1;

const MARK_OF_TEXT: char = '\u{1}';

/// Seals and opens the payloads of one namespace.
#[derive(Debug)]
pub struct PayloadKey {
    key: DataKey,
    context: [String; 2],
}

impl PayloadKey {
    /// With a data key of the namespace's.
    pub fn new(namespace: &Namespace, key: DataKey) -> Self {
        Self { key, context: ["payload".to_owned(), namespace.to_string()] }
    }

    /// Whether it is of this namespace: with it, nothing of another opens.
    pub fn is_of(&self, namespace: &str) -> bool {
        self.context[1] == namespace
    }

    /// Seal a payload.
    pub fn seal(&self, payload: &[u8]) -> Result<Vec<u8>, SealError> {
        let sealed = self.key.seal(&self.context, payload)?;
        Ok([&[MARK], &self.key.id.as_bytes()[..], &sealed].concat())
    }

    /// Open what [`seal`](Self::seal) has made.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let sealed = sealed.get(1 + size_of::<Uuid>()..).ok_or(SealError::NotAuthentic)?;
        Ok(self.key.open(&self.context, sealed)?.to_vec())
    }

    /// Seal a text, as a text.
    pub fn seal_text(&self, text: &str) -> Result<String, SealError> {
        let mut sealed = MARK_OF_TEXT.to_string();
        STANDARD_NO_PAD.encode_string(self.seal(text.as_bytes())?, &mut sealed);
        Ok(sealed)
    }
}

/// The data key that a payload is sealed under; `None` if it is not sealed.
pub fn sealed_under(payload: &[u8]) -> Option<Uuid> {
    let id = payload.strip_prefix(&[MARK])?.first_chunk()?;
    Some(Uuid::from_bytes(*id))
}

/// What a sealed text is, as bytes; `None` if it is not sealed.
pub fn sealed_text(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text.strip_prefix(MARK_OF_TEXT)?).ok().filter(|bytes| sealed_under(bytes).is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(namespace: &str) -> PayloadKey {
        PayloadKey::new(&Namespace::new(namespace).unwrap(), DataKey::generate().unwrap())
    }

    proptest! {
        #[test]
        fn what_is_sealed_says_under_which_key_and_opens_with_it(payload: Vec<u8>, text: String) {
            let key = key("a");
            let sealed = key.seal(&payload).unwrap();
            prop_assert_eq!(sealed_under(&sealed), Some(key.key.id));
            prop_assert_eq!(key.open(&sealed).unwrap(), payload);
            let sealed = sealed_text(&key.seal_text(&text).unwrap()).unwrap();
            prop_assert_eq!(key.open(&sealed).unwrap(), text.as_bytes());
        }

        #[test]
        fn no_json_seems_to_be_sealed(text in "[\\[{\"0-9tfn \t\r\n-].*") {
            prop_assert_eq!(sealed_under(text.as_bytes()), None);
        }
    }

    #[test]
    fn what_is_cut_or_belongs_to_another_namespace_does_not_open() {
        let (own, other) = (key("a"), key("b"));
        let sealed = own.seal(b"{}").unwrap();
        for length in 0..sealed.len() {
            assert_eq!(own.open(&sealed[..length]), Err(SealError::NotAuthentic), "{length} bytes");
        }
        assert_eq!(other.open(&sealed), Err(SealError::NotAuthentic));
        assert_eq!(sealed_text("\u{1}not base64"), None);
        assert_eq!(sealed_text("a line"), None);
    }
}
