//! What things are called when no person named them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Shards of the run tables. The shard leads every key, so that tables can be spread later; hosts compute it.
pub const SHARDS: i16 = 16;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// A new id, ordered by time (UUID version 7).
    #[expect(clippy::new_without_default, reason = "every call gives another one")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that an idempotency key stands for (UUID version 8): the same key in the same namespace is the same run,
    /// which makes the primary key of the runs table the guard against starting it twice.
    pub fn from_key(namespace: &str, key: &str) -> Self {
        let length = (namespace.len() as u64).to_be_bytes();
        Self::hashed(&[b"windlass/run/", &length, namespace.as_bytes(), key.as_bytes()])
    }

    /// The id of the child that a call starts (UUID version 8), which its parent makes for the first time after this rewind; 0 is
    /// after none.
    pub fn of_child(parent: Self, call: u32, rewind: u32) -> Self {
        let rewind = if rewind == 0 { &[][..] } else { &rewind.to_be_bytes() };
        Self::hashed(&[b"windlass/child/", parent.0.as_bytes(), &call.to_be_bytes(), rewind])
    }

    fn hashed(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(Uuid::new_v8(bytes))
    }

    /// Which shard the run's rows are in: the low bits of the id's last byte.
    pub fn shard(self) -> i16 {
        i16::from(self.0.as_bytes()[15]) % SHARDS
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// One life of one host process: a new one at every start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostId(pub Uuid);

impl HostId {
    /// A new id.
    #[expect(clippy::new_without_default, reason = "every call gives another one")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// SHA-256 of a component's bytes: what a component *is*, whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// From 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// As 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_means_the_same_run_only_within_its_namespace() {
        assert_eq!(RunId::from_key("a", "order-1"), RunId::from_key("a", "order-1"));
        assert_ne!(RunId::from_key("a", "order-1"), RunId::from_key("b", "order-1"));
        assert_ne!(RunId::from_key("a", "b1"), RunId::from_key("ab", "1"));
    }

    #[test]
    fn every_shard_is_in_range() {
        assert!((0..100).all(|_| (0..SHARDS).contains(&RunId::new().shard())));
    }
}
