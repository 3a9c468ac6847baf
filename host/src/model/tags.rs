//! Tags: what people find their runs by.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Name, NameError};

/// The tags of a run: texts by key. They are set at its start or by its workflow, and never sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Tags(BTreeMap<String, String>);

/// One of them, written `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    key: Name,
    value: String,
}

/// Why something cannot be a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// No key and value.
    #[error("a tag is written `key=value`")]
    Form,
    /// The key.
    #[error("the key of a tag: {0}")]
    Key(#[from] NameError),
    /// The key is too long.
    #[error("the key of a tag has at most {max} characters", max = Tag::KEY_LENGTH_MAX)]
    KeyLength,
    /// The value.
    #[error("the tag `{0}`: a value has 1 to {max} characters, without commas and control characters", max = Tag::VALUE_LENGTH_MAX)]
    Value(Name),
    /// Too many.
    #[error("a run has at most {max} tags", max = Tags::COUNT_MAX)]
    Count,
    /// A key twice.
    #[error("the tag `{0}` is there twice: a run has one value for each key")]
    Twice(String),
}

impl Tag {
    /// Longest key in characters, which are bytes.
    pub const KEY_LENGTH_MAX: usize = 64;
    /// Longest value in characters.
    pub const VALUE_LENGTH_MAX: usize = 128;

    /// Check the parts.
    pub fn new(key: &str, value: &str) -> Result<Self, TagError> {
        let key = Name::new(key)?;
        if key.len() > Self::KEY_LENGTH_MAX {
            return Err(TagError::KeyLength);
        }
        let length = value.chars().count();
        if length == 0 || length > Self::VALUE_LENGTH_MAX || value.contains(|c: char| c == ',' || c.is_control()) {
            return Err(TagError::Value(key));
        }
        Ok(Self { key, value: value.to_owned() })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", &*self.key, self.value)
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        // A key has no `=`.
        let (key, value) = text.split_once('=').ok_or(TagError::Form)?;
        Self::new(key, value)
    }
}

impl Tags {
    /// Most tags of a run.
    pub const COUNT_MAX: usize = 16;

    /// Those that were kept.
    pub fn stored(tags: Vec<String>) -> Self {
        let pair = |tag: String| tag.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self(tags.into_iter().filter_map(pair).collect())
    }

    /// Put together from single ones.
    pub fn collect(tags: impl IntoIterator<Item = Tag>) -> Result<Self, TagError> {
        let mut all = BTreeMap::new();
        for Tag { key, value } in tags {
            if all.insert(key.to_string(), value).is_some() {
                return Err(TagError::Twice(key.to_string()));
            }
        }
        if all.len() > Self::COUNT_MAX { Err(TagError::Count) } else { Ok(Self(all)) }
    }

    /// Give a key a value, instead of the one that it has. Returns whether that changes anything.
    pub fn set(&mut self, Tag { key, value }: Tag) -> Result<bool, TagError> {
        let is_full = self.0.len() >= Self::COUNT_MAX;
        match self.0.get_mut(&*key) {
            Some(before) if *before == value => return Ok(false),
            Some(before) => *before = value,
            None if is_full => return Err(TagError::Count),
            None => drop(self.0.insert(key.to_string(), value)),
        }
        Ok(true)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all, as they are kept.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + "=".len() + value.len()).sum()
    }

    /// Each, as it is kept and asked for.
    pub fn written(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(key, value)| format!("{key}={value}"))
    }
}

impl TryFrom<BTreeMap<String, String>> for Tags {
    type Error = TagError;

    fn try_from(tags: BTreeMap<String, String>) -> Result<Self, TagError> {
        let tags: Vec<_> = tags.iter().map(|(key, value)| Tag::new(key, value)).collect::<Result<_, _>>()?;
        Self::collect(tags)
    }
}

impl From<Tags> for BTreeMap<String, String> {
    fn from(tags: Tags) -> Self {
        tags.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_short_key_and_a_short_value() {
        let tag: Tag = "customer=a=b c/ü".parse().unwrap();
        assert_eq!((&*tag.key, &*tag.value), ("customer", "a=b c/ü"));
        assert_eq!(tag.to_string(), "customer=a=b c/ü");
        let long = |length| format!("k={}", "ü".repeat(length));
        assert!(long(128).parse::<Tag>().is_ok());
        for (text, why) in [
            ("customer", "written `key=value`"),
            ("=a", "`` is no name"),
            ("a b=c", "`a b` is no name"),
            (&format!("{}=a", "k".repeat(65)), "at most 64 characters"),
            ("a=", "1 to 128 characters"),
            ("a=b,c", "without commas"),
            ("a=b\nc", "control characters"),
            (&long(129), "1 to 128 characters"),
        ] {
            let error = text.parse::<Tag>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_run_has_few_tags_and_one_value_for_each_key() {
        let tags = |count| (0..count).map(|number| Tag::new(&format!("k{number}"), "v").unwrap());
        assert_eq!(Tags::collect(tags(16)).unwrap().written().count(), 16);
        assert_eq!(Tags::collect(tags(17)), Err(TagError::Count));
        assert_eq!(Tags::collect(tags(1).chain(tags(1))), Err(TagError::Twice("k0".to_owned())));
        let read: Tags = serde_json::from_str(r#"{"b": "2", "a": "1"}"#).unwrap();
        assert_eq!(read, Tags::stored(read.written().collect()));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"a":"1","b":"2"}"#);
        assert!(serde_json::from_str::<Tags>(r#"{"a": ""}"#).unwrap_err().to_string().contains("the tag `a`"));
    }

    #[test]
    fn the_last_value_of_a_key_wins_also_when_there_is_no_room_for_another_key() {
        let tags = (0..16).map(|number| Tag::new(&format!("k{number}"), "v").unwrap());
        let mut tags = Tags::collect(tags).unwrap();
        assert_eq!(tags.set(Tag::new("k3", "v").unwrap()), Ok(false));
        assert_eq!(tags.set(Tag::new("k3", "ü").unwrap()), Ok(true));
        assert_eq!(tags.set(Tag::new("k16", "v").unwrap()), Err(TagError::Count));
        assert_eq!(tags.written().find(|tag| tag.starts_with("k3=")).as_deref(), Some("k3=ü"));
        assert_eq!((tags.len(), tags.bytes()), (16, tags.written().map(|tag| tag.len()).sum()));
    }
}
