//! Points and lengths of time, in the database's own resolution.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time: microseconds since 1970-01-01T00:00:00Z. Written as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970; times before that are 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(if micros < 0 { 0 } else { micros })
    }

    /// Microseconds since 1970.
    pub fn as_micros(self) -> u64 {
        self.0.unsigned_abs()
    }

    /// This much later.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier`; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self::from_micros(time.timestamp_micros())
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(time: Timestamp) -> Self {
        // Beyond the year 262142 there is no date: no timer can be due there, see `DURATION_MAX`.
        Self::from_timestamp_micros(time.0).unwrap_or(Self::MAX_UTC)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&DateTime::<Utc>::from(*self).to_rfc3339_opts(SecondsFormat::Micros, true))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DateTime::<Utc>::deserialize(deserializer).map(Self::from)
    }
}

/// The longest duration that the WIT allows: 100 years of 365.25 days, in microseconds.
const DURATION_MAX_US: u64 = 3_155_760_000_000_000;

/// A duration of the WIT, or `None` beyond 100 years.
pub fn duration_from_us(micros: u64) -> Option<Duration> {
    (micros <= DURATION_MAX_US).then(|| Duration::from_micros(micros))
}

/// A duration in the unit of the WIT and the database.
pub fn duration_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_and_read_back() {
        let time = Timestamp::from_micros(1_700_000_000_123_456);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.123456Z");
        assert_eq!(serde_json::from_str::<Timestamp>("\"2023-11-14T22:13:20.123456Z\"").unwrap(), time);
    }

    #[test]
    fn the_longest_sleep_from_now_has_a_date() {
        let longest = duration_from_us(DURATION_MAX_US).unwrap();
        assert!(duration_from_us(DURATION_MAX_US + 1).is_none());
        assert!(Timestamp::from_micros(4_000_000_000_000_000).after(longest).to_string().starts_with("2196"));
    }
}
