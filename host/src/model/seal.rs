//! Sealing: encrypting what the database keeps, so that whoever reads the database cannot read it, and whoever writes to the
//! database cannot put it elsewhere unnoticed.
//!
//! Envelopes: what is kept is sealed under a *data key* of its namespace; data keys are kept too, each *wrapped* under a
//! *master key* that is never in the database. To change the master key, only the data keys are wrapped anew.
//!
//! XChaCha20-Poly1305: its nonces are long enough to be drawn at random for any number of messages. The context (what it is,
//! whose, under which name) is authenticated with each message, so that a row is worth nothing in another's place.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use rand::TryRng as _;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Namespace;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// The first byte of all that is sealed: how the rest is to be read.
const FORMAT: u8 = 1;

/// Wraps data keys. Never in the database, and never shown.
pub struct MasterKey {
    id: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

/// The master keys that this host knows. New data keys are wrapped under the first; the others open what is older.
#[derive(Debug)]
pub struct MasterKeys(Vec<MasterKey>);

/// Seals what belongs to one namespace.
pub struct DataKey {
    /// Stands in each row that was sealed under it.
    pub id: Uuid,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

/// Why a text holds no master keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nothing in it.
    #[error("it holds no key; `head -c 32 /dev/urandom | base64` makes one")]
    Empty,
    /// A line that is none.
    #[error("line {0} is no key: a key is 32 random bytes as base64; `head -c 32 /dev/urandom | base64` makes one")]
    Line(usize),
}

/// Why something cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Wrapped under a key that is not among those at hand.
    #[error("it needs the master key {0}, which this host does not have")]
    NoMasterKey(String),
    /// It is not what was sealed, or not in its place, or not under this key.
    #[error("it was changed, or belongs elsewhere, or was sealed under another key")]
    NotAuthentic,
    /// The system gives no randomness.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

impl MasterKey {
    fn new(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"windlass master key");
        digest.update(*key);
        let id = digest.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { id, key }
    }

    /// The beginning of a digest: tells keys apart, and nothing about them.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A data key as the database keeps it.
    pub fn wrap(&self, namespace: &Namespace, data_key: &DataKey) -> Result<Vec<u8>, SealError> {
        seal(&self.key, &wrapped_context(&self.id, namespace, data_key.id), &*data_key.key)
    }

    fn unwrap(&self, namespace: &Namespace, id: Uuid, wrapped: &[u8]) -> Result<DataKey, SealError> {
        let opened = open(&self.key, &wrapped_context(&self.id, namespace, id), wrapped)?;
        let key = opened.as_slice().try_into().map_err(|_| SealError::NotAuthentic)?;
        Ok(DataKey { id, key: Zeroizing::new(key) })
    }
}

impl MasterKeys {
    /// Read keys in base64, one a line. Empty lines and those that begin with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let invalid = |_| KeyError::Line(number + 1);
            let bytes = Zeroizing::new(STANDARD.decode(line).map_err(|_| KeyError::Line(number + 1))?);
            let key = Zeroizing::new(<[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map_err(invalid)?);
            keys.push(MasterKey::new(key));
        }
        if keys.is_empty() { Err(KeyError::Empty) } else { Ok(Self(keys)) }
    }

    /// A new key, as [`parse`](Self::parse) reads it.
    pub fn generate() -> Result<Zeroizing<String>, SealError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        fill(&mut *key)?;
        Ok(Zeroizing::new(format!("{}\n", STANDARD.encode(*key))))
    }

    /// The one that new data keys are wrapped under.
    pub fn current(&self) -> &MasterKey {
        // `parse` makes none without a key.
        &self.0[0]
    }

    /// Add keys that only open what is older.
    pub fn and_older(mut self, older: Self) -> Self {
        self.0.extend(older.0);
        self
    }

    /// Whether there is one of this id.
    pub fn has(&self, id: &str) -> bool {
        self.0.iter().any(|key| key.id == id)
    }

    /// A data key that was wrapped under the master key `master_id`.
    pub fn unwrap(
        &self,
        master_id: &str,
        namespace: &Namespace,
        id: Uuid,
        wrapped: &[u8],
    ) -> Result<DataKey, SealError> {
        let master = self.0.iter().find(|key| key.id == master_id);
        master.ok_or_else(|| SealError::NoMasterKey(master_id.to_owned()))?.unwrap(namespace, id, wrapped)
    }
}

impl DataKey {
    /// A new one.
    pub fn generate() -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        fill(&mut *key)?;
        Ok(Self { id: Uuid::now_v7(), key })
    }

    /// Seal a text. `context`: what it is, whose, and under which name; the same opens it, and nothing else does.
    pub fn seal(&self, context: &[impl AsRef<str>], text: &[u8]) -> Result<Vec<u8>, SealError> {
        seal(&self.key, &sealed_context(self.id, context), text)
    }

    /// Open what was sealed with the same context.
    pub fn open(&self, context: &[impl AsRef<str>], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        open(&self.key, &sealed_context(self.id, context), sealed)
    }
}

fn wrapped_context(master_id: &str, namespace: &Namespace, id: Uuid) -> Vec<u8> {
    context(["data-key", master_id, namespace, &id.to_string()].into_iter())
}

fn sealed_context(id: Uuid, parts: &[impl AsRef<str>]) -> Vec<u8> {
    context(["sealed", &id.to_string()].into_iter().chain(parts.iter().map(AsRef::as_ref)))
}

/// With the length of each part before it: `a`, `bc` is not `ab`, `c`.
fn context<'a>(parts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut context = b"windlass".to_vec();
    for part in parts {
        context.extend_from_slice(&(part.len() as u64).to_be_bytes());
        context.extend_from_slice(part.as_bytes());
    }
    context
}

fn seal(key: &[u8; KEY_BYTES], context: &[u8], text: &[u8]) -> Result<Vec<u8>, SealError> {
    let mut nonce = [0; NONCE_BYTES];
    fill(&mut nonce)?;
    let payload = Payload { msg: text, aad: context };
    // Fails only for texts of 256 GiB and more.
    let sealed = cipher(key).encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::NotAuthentic)?;
    Ok([&[FORMAT], &nonce[..], &sealed].concat())
}

fn open(key: &[u8; KEY_BYTES], context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let rest = sealed.strip_prefix(&[FORMAT]).ok_or(SealError::NotAuthentic)?;
    let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::NotAuthentic)?;
    let payload = Payload { msg: sealed, aad: context };
    let opened = cipher(key).decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::NotAuthentic)?;
    Ok(Zeroizing::new(opened))
}

/// Forgets its key when it is dropped.
fn cipher(key: &[u8; KEY_BYTES]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key))
}

fn fill(bytes: &mut [u8]) -> Result<(), SealError> {
    rand::rngs::SysRng.try_fill_bytes(bytes).map_err(|error| SealError::Random(error.to_string()))
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masters(seeds: &[u8]) -> MasterKeys {
        let lines: Vec<_> = seeds.iter().map(|seed| STANDARD.encode([*seed; KEY_BYTES])).collect();
        MasterKeys::parse(&lines.join("\n")).unwrap()
    }

    fn namespace(text: &str) -> Namespace {
        Namespace::new(text).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_context_and_with_no_other() {
        let key = DataKey::generate().unwrap();
        let sealed = key.seal(&["secret", "default", "stripe"], b"sk_live_1").unwrap();
        assert!(!sealed.windows(4).any(|window| window == b"live"));
        assert_eq!(key.open(&["secret", "default", "stripe"], &sealed).unwrap().as_slice(), b"sk_live_1");
        for other in [&["secret", "default", "stripe2"][..], &["secret", "defaults", "tripe"], &["secret", "default"]] {
            assert_eq!(key.open(other, &sealed), Err(SealError::NotAuthentic), "{other:?}");
        }
        let stranger = DataKey::generate().unwrap();
        assert_eq!(stranger.open(&["secret", "default", "stripe"], &sealed), Err(SealError::NotAuthentic));
        assert_ne!(key.seal(&["secret", "default", "stripe"], b"sk_live_1").unwrap(), sealed, "a nonce of its own");
    }

    #[test]
    fn every_byte_that_is_changed_is_noticed() {
        let key = DataKey::generate().unwrap();
        let sealed = key.seal(&["x"], b"text").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(&["x"], &changed), Err(SealError::NotAuthentic), "byte {at}");
        }
        for length in 0..sealed.len() {
            assert_eq!(key.open(&["x"], &sealed[..length]), Err(SealError::NotAuthentic), "{length} bytes");
        }
    }

    #[test]
    fn a_wrapped_data_key_belongs_to_its_namespace_and_its_master_key() {
        let (masters, key) = (masters(&[1, 2]), DataKey::generate().unwrap());
        let master = masters.current().id().to_owned();
        let wrapped = masters.current().wrap(&namespace("a"), &key).unwrap();
        let unwrapped = masters.unwrap(&master, &namespace("a"), key.id, &wrapped).unwrap();
        assert_eq!(unwrapped.open(&["x"], &key.seal(&["x"], b"text").unwrap()).unwrap().as_slice(), b"text");
        let other_master = masters.0[1].id().to_owned();
        for (master, name, id) in [(&master, "b", key.id), (&master, "a", Uuid::now_v7()), (&other_master, "a", key.id)]
        {
            assert_eq!(masters.unwrap(master, &namespace(name), id, &wrapped).unwrap_err(), SealError::NotAuthentic);
        }
        let missing = masters.unwrap("0123456789abcdef", &namespace("a"), key.id, &wrapped).unwrap_err();
        assert_eq!(missing, SealError::NoMasterKey("0123456789abcdef".into()));
    }

    #[test]
    fn an_older_key_opens_and_the_newer_one_seals() {
        let (old, key) = (masters(&[1]), DataKey::generate().unwrap());
        let wrapped = old.current().wrap(&namespace("a"), &key).unwrap();
        let both = masters(&[2]).and_older(masters(&[1]));
        assert_eq!(both.current().id(), masters(&[2]).current().id());
        assert!(both.unwrap(old.current().id(), &namespace("a"), key.id, &wrapped).is_ok());
    }

    #[test]
    fn keys_are_read_and_never_shown() {
        assert_eq!(MasterKeys::parse("\n# none\n").unwrap_err(), KeyError::Empty);
        assert_eq!(MasterKeys::parse("# old\nnot base64!").unwrap_err(), KeyError::Line(2));
        assert_eq!(MasterKeys::parse(&STANDARD.encode([0; 16])).unwrap_err(), KeyError::Line(1));
        let shown = format!("{:?}", masters(&[7]));
        assert!(shown.contains("id") && !shown.contains("7, 7"), "{shown}");
    }
}
