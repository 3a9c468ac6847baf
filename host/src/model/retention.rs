//! How long what has ended is kept, and where.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// What a namespace wants. Nothing is archived or deleted of one that has not said so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retention {
    /// How long after its end a run goes to the archive; none: not for its age.
    #[serde(with = "humantime_serde", default)]
    #[schema(value_type = Option<String>, example = "7days")]
    pub archive_after: Option<Duration>,
    /// How many runs stay out of the archive, the newest; none: not for their number.
    pub keep_runs: Option<u64>,
    /// How long after its end an archived run is deleted; none: never.
    #[serde(with = "humantime_serde", default)]
    #[schema(value_type = Option<String>, example = "90days")]
    pub delete_after: Option<Duration>,
    /// How long an idempotency key holds at least, from the start of its run on.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String, example = "1day")]
    pub keep_keys: Duration,
    /// Whether archived runs are written to the archive store before they are deleted.
    pub export_archive: bool,
}

/// What is to be another. What is not named stays; `null` is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetentionChange {
    /// How long after its end a run goes to the archive, as `7d`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "say_time",
        deserialize_with = "read_time"
    )]
    #[schema(value_type = Option<String>, example = "7d")]
    pub archive_after: Option<Option<Duration>>,
    /// How many runs stay out of the archive, the newest.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "read_number")]
    #[schema(value_type = Option<u64>)]
    pub keep_runs: Option<Option<u64>>,
    /// How long after its end an archived run is deleted.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "say_time",
        deserialize_with = "read_time"
    )]
    #[schema(value_type = Option<String>, example = "90d")]
    pub delete_after: Option<Option<Duration>>,
    /// How long an idempotency key holds at least, from the start of its run on: a day, if nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "humantime_serde")]
    #[schema(value_type = Option<String>, example = "24h")]
    pub keep_keys: Option<Duration>,
    /// Whether archived runs are written to the archive store before they are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_archive: Option<bool>,
}

/// Why a namespace cannot have it so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}: it is at most 100 years, and `null` is for ever")]
pub struct RetentionError(&'static str);

/// More than anybody means.
const TIME_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

impl RetentionChange {
    /// Whether the database can say it.
    pub fn check(&self) -> Result<(), RetentionError> {
        let times = [
            ("archive_after", self.archive_after.flatten()),
            ("delete_after", self.delete_after.flatten()),
            ("keep_keys", self.keep_keys),
        ];
        let too_long = times.into_iter().find(|(_, time)| time.is_some_and(|time| time > TIME_MAX));
        let too_many = self.keep_runs.flatten().is_some_and(|runs| i64::try_from(runs).is_err());
        match too_long.map(|(name, _)| name).or_else(|| too_many.then_some("keep_runs")) {
            Some(name) => Err(RetentionError(name)),
            None => Ok(()),
        }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn say_time<S: Serializer>(time: &Option<Option<Duration>>, serializer: S) -> Result<S::Ok, S::Error> {
    humantime_serde::serialize(&time.flatten(), serializer)
}

fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Duration>>, D::Error> {
    humantime_serde::deserialize(deserializer).map(Some)
}

fn read_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_told_from_what_is_to_be_none() {
        let change: RetentionChange = serde_json::from_str(r#"{"archive_after":"7d","delete_after":null}"#).unwrap();
        assert_eq!(change.archive_after, Some(Some(Duration::from_secs(7 * 86_400))));
        assert_eq!((change.delete_after, change.keep_runs), (Some(None), None));
        assert_eq!(serde_json::to_string(&change).unwrap(), r#"{"archive_after":"7days","delete_after":null}"#);
        assert!(serde_json::from_str::<RetentionChange>(r#"{"archive_afer":"7d"}"#).is_err());
        assert!(serde_json::from_str::<RetentionChange>(r#"{"keep_keys":null}"#).unwrap().is_empty());
    }

    #[test]
    fn no_time_is_longer_than_the_database_can_say() {
        let change = |time| RetentionChange { keep_keys: Some(time), ..RetentionChange::default() };
        assert_eq!(change(TIME_MAX).check(), Ok(()));
        assert!(change(TIME_MAX + Duration::from_secs(1)).check().unwrap_err().to_string().contains("keep_keys"));
    }
}
