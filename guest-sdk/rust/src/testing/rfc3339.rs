//! Times as the host's API writes them: RFC 3339, to the microsecond.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serializer, de};

pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_micros(*time))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_rfc3339(&text).map_err(|error| de::Error::custom(format!("`{text}` is no time: {error}")))
}

/// For what may be missing.
pub(super) mod option {
    use super::*;

    pub(in crate::testing) fn serialize<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::testing) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SystemTime>, D::Error> {
        super::deserialize(deserializer).map(Some)
    }
}

/// In the unit of the WIT: microseconds since 1970.
pub(super) fn instant(time: SystemTime) -> u64 {
    // What is before 1970 is 1970, as for a host.
    time.duration_since(UNIX_EPOCH).map_or(0, crate::timer::micros)
}

pub(super) fn time(instant: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(instant)
}
