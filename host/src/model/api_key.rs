//! API keys: `wl_<id>_<secret>`.
//!
//! The id is public: it stands in lists, logs and the audit log. The secret is 43 letters and digits drawn from the operating
//! system's randomness, 256 bits, and a checksum over all before it, by which scanners recognise a key that got into a
//! repository, and everybody one that was not copied whole.

use std::fmt;
use std::str::FromStr;

use rand::distr::{Alphanumeric, SampleString as _};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::{NameError, Namespace};

/// A key with its secret. Whatever prints it by accident prints the id; [`reveal`](Self::reveal) is the only way to the rest.
#[derive(Clone)]
pub struct ApiKey {
    id: KeyId,
    secret: String,
}

/// Why a text is no key. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// It has another form.
    #[error("an API key is `wl_`, an id of 10 characters, `_` and 51 more; is it whole, and nothing else with it?")]
    Form,
    /// The checksum is another.
    #[error("the API key has a typing error: its checksum does not fit")]
    Checksum,
}

/// The public part of a key: 10 characters out of `a-z` and `0-9`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; KeyId::LENGTH]);

/// What is kept of a key's secret.
#[derive(Clone, Copy)]
pub struct SecretHash(pub [u8; 32]);

const PREFIX: &str = "wl_";
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 8;

impl ApiKey {
    /// Another one. Panics where the operating system has no randomness.
    #[expect(clippy::new_without_default, reason = "every call gives another one")]
    pub fn new() -> Self {
        let mut random = UnwrapErr(SysRng);
        let id = Alphanumeric.sample_string(&mut random, KeyId::LENGTH).to_ascii_lowercase();
        let mut bytes = [0; KeyId::LENGTH];
        bytes.copy_from_slice(id.as_bytes());
        // 62 to the 43rd is more than 2 to the 256th.
        Self { id: KeyId(bytes), secret: Alphanumeric.sample_string(&mut random, SECRET_LENGTH) }
    }

    /// Its public part.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// All of it: for whoever it was made for, and for the header of a request.
    pub fn reveal(&self) -> String {
        let text = format!("{PREFIX}{}_{}", self.id, self.secret);
        let checksum = checksum_of(&text);
        text + &checksum
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.secret.as_bytes()).into())
    }
}

fn checksum_of(text: &str) -> String {
    format!("{:08x}", crc32fast::hash(text.as_bytes()))
}

impl SecretHash {
    /// Whether the secret of this key has it. Takes as long whatever the answer.
    pub fn is_of(&self, key: &ApiKey) -> bool {
        self.0.ct_eq(&key.hash().0).into()
    }
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let (id, secret) = text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(ApiKeyError::Form)?;
        let id = id.parse().map_err(|_| ApiKeyError::Form)?;
        let is_plain = secret.bytes().all(|c| c.is_ascii_alphanumeric());
        if !is_plain || secret.len() != SECRET_LENGTH + CHECKSUM_LENGTH {
            return Err(ApiKeyError::Form);
        }
        let (whole, checksum) = text.split_at(text.len() - CHECKSUM_LENGTH);
        if checksum != checksum_of(whole) {
            return Err(ApiKeyError::Checksum);
        }
        Ok(Self { id, secret: secret[..SECRET_LENGTH].to_owned() })
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({})", self.id)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash")
    }
}

/// The text is no id of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key has 10 characters out of a-z and 0-9")]
pub struct KeyIdError;

impl KeyId {
    const LENGTH: usize = 10;

    /// As text.
    pub fn as_str(&self) -> &str {
        // Nothing else is ever put in.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let bytes = text.as_bytes().try_into().map_err(|_| KeyIdError)?;
        let is_plain = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if is_plain { Ok(Self(bytes)) } else { Err(KeyIdError) }
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyIdError;

    fn try_from(text: String) -> Result<Self, KeyIdError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a key is good for. None contains another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See runs, their histories, logs and states.
    Read,
    /// Start runs.
    Start,
    /// Send signals and updates.
    Signal,
    /// Upload components.
    Deploy,
    /// Interfere with runs: cancel and terminate them.
    Operate,
    /// Manage keys, and read the audit log; with a key for all namespaces, make namespaces.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Read, Self::Start, Self::Signal, Self::Deploy, Self::Operate, Self::Admin];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Start => "start",
            Self::Signal => "signal",
            Self::Deploy => "deploy",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

/// The text is no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the scopes are read, start, signal, deploy, operate and admin")]
pub struct ScopeError;

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(ScopeError)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The namespaces that a key reaches: one, or all of them, written `*`, which is no name that a namespace can have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Reach {
    /// All that are there and all that will be.
    All,
    /// This one.
    One(Namespace),
}

impl Reach {
    /// As text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::All => "*",
            Self::One(namespace) => namespace,
        }
    }

    /// Whether it has the namespace of this name in it; `*` is all of them.
    pub fn contains(&self, name: &str) -> bool {
        *self == Self::All || self.as_str() == name
    }
}

impl TryFrom<String> for Reach {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        if text == "*" { Ok(Self::All) } else { Namespace::new(&text).map(Self::One) }
    }
}

impl From<Reach> for String {
    fn from(reach: Reach) -> Self {
        reach.as_str().to_owned()
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written_and_each_typing_error_is_found() {
        let key = ApiKey::new();
        let text = key.reveal();
        let read: ApiKey = text.parse().unwrap();
        assert!(read.id() == key.id() && key.hash().is_of(&read));
        for place in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[place] = if wrong[place] == b'x' { b'y' } else { b'x' };
            assert!(String::from_utf8(wrong).unwrap().parse::<ApiKey>().is_err(), "at {place}");
        }
        for wrong in ["", "wl_", "wl__", &text[1..], &text[..64], &format!("{text} "), &text.to_uppercase()] {
            assert!(wrong.parse::<ApiKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_by_accident_has_nothing_of_the_secret() {
        let key = ApiKey::new();
        let printed = format!("{key:?} {:?} {:#?}", key.hash(), Some(&key));
        assert!(printed.contains(key.id().as_str()) && !printed.contains(&key.secret[..6]), "{printed}");
    }

    #[test]
    fn a_reach_has_one_namespace_in_it_or_all() {
        let one = Reach::try_from("team-a".to_owned()).unwrap();
        assert!(one.contains("team-a") && !one.contains("team-b") && !one.contains("*"));
        assert!(Reach::All.contains("team-a") && Reach::All.contains("*"));
        assert!(Reach::try_from("**".to_owned()).is_err());
    }
}
