//! Which runs of a namespace are taken up first.

use serde::{Deserialize, Serialize};

/// From 1, taken up first, to 5, taken up last. It says something among the runs of one namespace that wait for a host, and nothing
/// to those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

/// No priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a priority is a number from 1, which is taken up first, to 5")]
pub struct PriorityError;

impl Priority {
    /// As a column of the database has it: what is there was checked when it was set.
    pub fn stored(code: i16) -> Self {
        u8::try_from(code).ok().and_then(|number| Self::try_from(number).ok()).unwrap_or_default()
    }

    /// As a column of the database has it.
    pub fn code(self) -> i16 {
        self.0.into()
    }

    /// Whether it is that of whoever has said nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Priority {
    /// In the middle.
    fn default() -> Self {
        Self(3)
    }
}

impl TryFrom<u8> for Priority {
    type Error = PriorityError;

    fn try_from(number: u8) -> Result<Self, PriorityError> {
        if (1..=5).contains(&number) { Ok(Self(number)) } else { Err(PriorityError) }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

impl std::str::FromStr for Priority {
    type Err = PriorityError;

    fn from_str(text: &str) -> Result<Self, PriorityError> {
        text.parse::<u8>().map_err(|_| PriorityError)?.try_into()
    }
}

impl std::fmt::Display for Priority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_from_1_to_5_and_1_is_first() {
        let read = |text: &str| text.parse::<Priority>();
        assert!(read("1").unwrap() < Priority::default() && Priority::default() < read("5").unwrap());
        for text in ["0", "6", "-1", "high", "300", ""] {
            assert_eq!(read(text), Err(PriorityError), "{text}");
        }
        assert_eq!(serde_json::from_str::<Priority>("2").unwrap().to_string(), "2");
        assert!(serde_json::from_str::<Priority>("9").unwrap_err().to_string().contains("from 1"));
    }
}
