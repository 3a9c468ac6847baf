//! The audit log as a chain: the hash of each entry is over the hash before it and the entry itself. The function `audit` of the
//! database computes the same.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Digest, KeyId, Timestamp};

/// Who changed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whoever has this key.
    Key(KeyId),
    /// An account of the machine that the command line wrote to the database from.
    Cli(String),
    /// Anybody: the host asks nobody who they are.
    Dev,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
            Self::Cli(account) => write!(f, "cli:{account}"),
            Self::Dev => f.write_str("dev"),
        }
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Of which chain: a namespace, or `*`.
    pub namespace: String,
    /// Its number: 1 for the first of the chain.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// As [`Who`] is written.
    pub who: String,
    /// What was done: a stable word.
    pub what: String,
    /// To what.
    pub subject: String,
    /// Anything more, as JSON.
    pub details: String,
    /// The hash of the entry before; zeros before the first.
    pub previous_hash: Digest,
    /// Its own.
    pub hash: Digest,
}

/// A place in a chain: how far it goes, or went when somebody noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditHead {
    /// The number of the last entry; 0 while there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: Digest,
}

/// What is wrong with a chain, at the first place where something is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "kebab-case", tag = "kind")]
#[expect(missing_docs, reason = "their messages say what they are")]
pub enum BrokenChain {
    #[error("entry {expected} is missing: entry {found} comes in its place")]
    Missing { expected: u64, found: u64 },
    #[error("entry {seq} does not follow from the entry before it, which was changed or exchanged, or it was itself")]
    Unlinked { seq: u64 },
    #[error("entry {seq} was changed: its hash is not that of what it says")]
    Changed { seq: u64 },
    #[error(
        "the log ends with entry {last}, and should with entry {head}: its end was cut off, or where it is was changed"
    )]
    Cut { last: u64, head: u64 },
    #[error("entry {seq} is not the one that was noted: its hash is another")]
    NotAsNoted { seq: u64 },
    #[error("entry {seq} was noted, and the log goes to entry {last} only")]
    NotedAndGone { seq: u64, last: u64 },
}

impl AuditEntry {
    /// What its hash has to be.
    pub fn expected_hash(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(self.previous_hash.0);
        let (seq, at) = (self.seq.to_string(), self.at.as_micros().to_string());
        for field in [&self.namespace, &seq, &at, &self.who, &self.what, &self.subject, &self.details] {
            // The length first: no two entries are hashed alike.
            hash.update(u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes());
            hash.update(field);
        }
        Digest(hash.finalize().into())
    }
}

impl AuditHead {
    /// Of an empty chain.
    pub const EMPTY: Self = Self { seq: 0, hash: Digest([0; 32]) };

    /// Go on to the next entry, if it is the one that follows.
    pub fn follow(&mut self, entry: &AuditEntry) -> Result<(), BrokenChain> {
        let (expected, found) = (self.seq + 1, entry.seq);
        if found != expected {
            return Err(BrokenChain::Missing { expected, found });
        }
        if entry.previous_hash != self.hash {
            return Err(BrokenChain::Unlinked { seq: found });
        }
        if entry.hash != entry.expected_hash() {
            return Err(BrokenChain::Changed { seq: found });
        }
        *self = Self { seq: found, hash: entry.hash };
        Ok(())
    }

    /// Whether a chain whose last entry is this one ends where it is said to end.
    pub fn ends_at(&self, head: &Self) -> Result<(), BrokenChain> {
        match self.seq == head.seq {
            true if self.hash == head.hash => Ok(()),
            true => Err(BrokenChain::NotAsNoted { seq: self.seq }),
            false => Err(BrokenChain::Cut { last: self.seq, head: head.seq }),
        }
    }
}

/// `SEQ:HASH`, to be noted somewhere else.
impl fmt::Display for AuditHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash.hex())
    }
}

/// The text is no place in an audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a place in an audit log is SEQ:HASH, as `windlass audit verify` prints it")]
pub struct AuditHeadError;

impl std::str::FromStr for AuditHead {
    type Err = AuditHeadError;

    fn from_str(text: &str) -> Result<Self, AuditHeadError> {
        let (seq, hash) = text.split_once(':').ok_or(AuditHeadError)?;
        let (seq, hash) = (seq.parse().map_err(|_| AuditHeadError)?, Digest::from_hex(hash).ok_or(AuditHeadError)?);
        Ok(Self { seq, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of that many entries.
    fn chain(count: u64) -> Vec<AuditEntry> {
        let mut head = AuditHead::EMPTY;
        let next = |seq| {
            let mut entry = AuditEntry {
                namespace: "default".into(),
                seq,
                at: Timestamp::from_micros(1_700_000_000_000_000),
                who: "dev".into(),
                what: "run.cancel".into(),
                subject: format!("run {seq}"),
                details: "{}".into(),
                previous_hash: head.hash,
                hash: Digest([0; 32]),
            };
            entry.hash = entry.expected_hash();
            head.follow(&entry).unwrap();
            entry
        };
        (1..=count).map(next).collect()
    }

    /// Where the chain breaks, if its last entry should be the third.
    fn verify(chain: &[AuditEntry], head: &AuditHead) -> Result<(), BrokenChain> {
        let mut last = AuditHead::EMPTY;
        chain.iter().try_for_each(|entry| last.follow(entry))?;
        last.ends_at(head)
    }

    #[test]
    fn whatever_is_changed_taken_out_exchanged_or_cut_off_shows_at_the_first_such_entry() {
        let whole = chain(3);
        let head = AuditHead { seq: 3, hash: whole[2].hash };
        assert_eq!(verify(&whole, &head), Ok(()));
        let with = |change: fn(&mut Vec<AuditEntry>)| {
            let mut chain = whole.clone();
            change(&mut chain);
            verify(&chain, &head).unwrap_err()
        };
        assert_eq!(with(|chain| chain[1].subject.push('x')), BrokenChain::Changed { seq: 2 });
        assert_eq!(with(|chain| drop(chain.remove(1))), BrokenChain::Missing { expected: 2, found: 3 });
        assert_eq!(with(|chain| chain.swap(0, 1)), BrokenChain::Missing { expected: 1, found: 2 });
        assert_eq!(with(|chain| drop(chain.pop())), BrokenChain::Cut { last: 2, head: 3 });
        // Exchanged with their numbers, and hashed anew: the chain does not fit.
        let rehashed = with(|chain| {
            chain[1].subject.push('x');
            chain[1].hash = chain[1].expected_hash();
        });
        assert_eq!(rehashed, BrokenChain::Unlinked { seq: 3 });
    }

    #[test]
    fn two_entries_whose_fields_are_cut_elsewhere_have_different_hashes() {
        let [one, _] = &chain(2)[..] else { panic!("two") };
        let mut other = one.clone();
        (other.who, other.what) = ("devr".into(), "un.cancel".into());
        assert_ne!(one.expected_hash(), other.expected_hash());
    }

    #[test]
    fn a_place_is_read_as_it_is_written() {
        let head = AuditHead { seq: 7, hash: Digest::of(b"x") };
        assert_eq!(head.to_string().parse(), Ok(head));
        assert!("7".parse::<AuditHead>().is_err() && "7:ab".parse::<AuditHead>().is_err());
    }
}
