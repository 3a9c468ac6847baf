//! Cron patterns, by the clocks of a time zone.
//!
//! A pattern says what a clock on the wall shows. Twice a year that clock is put forward or back, and then a pattern that names hours
//! is about times that are not there, or there twice:
//!
//! ```text
//!  0 2 * * *      02:00 is not there  →  once, at the jump         (03:00, one second after 01:59:59)
//!                 02:00 is there twice →  once, at the first
//!  */15 * * * *   every hour: goes by    what is not there is left out, and what is there twice ticks twice:
//!                 the time that passes   every 15 minutes, as ever
//! ```

use std::fmt;

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::Cron as Pattern;
use croner::parser::{CronParser, Seconds, Year};

use super::Timestamp;
use super::name::beginning;

/// A cron pattern in a time zone: five fields, or six with seconds in front.
#[derive(Clone, Debug)]
pub struct Cron {
    text: String,
    time_zone: Tz,
    pattern: Pattern,
    /// It names hours, and does not just mean all of them.
    names_hours: bool,
}

/// Why a text is no cron pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It cannot be read.
    #[error(
        "`{text}` is no cron pattern: {reason}. It has five fields (minute, hour, day of month, month, day of week), or six with \
         seconds in front, as in `0 9 * * 1-5`"
    )]
    Pattern {
        /// How it begins.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// Its time zone.
    #[error("`{0}` is no time zone: write a name of the IANA database, such as Europe/Berlin or UTC")]
    TimeZone(String),
}

/// Longest pattern in bytes.
const LENGTH_MAX: usize = 256;

/// Ticks after the year 3000 are never looked for.
const SEARCH_MAX: Timestamp = Timestamp::from_micros(32_503_680_000_000_000);

impl Cron {
    /// Read a pattern.
    pub fn new(text: &str, time_zone: &str) -> Result<Self, CronError> {
        let invalid = |reason: String| CronError::Pattern { text: beginning(text), reason };
        if text.len() > LENGTH_MAX || !text.is_ascii() {
            return Err(invalid(format!("it has at most {LENGTH_MAX} characters, all of them ASCII")));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        // The parser's words repeat what it was given.
        let pattern = parser.parse(text).map_err(|error| invalid(beginning(&error.to_string())))?;
        let parts =
            [&pattern.pattern.seconds, &pattern.pattern.minutes, &pattern.pattern.hours, &pattern.pattern.months];
        // Looking for what is in no minute would take until the year 5000, minute by minute.
        let days = [&pattern.pattern.days, &pattern.pattern.days_of_week];
        let is_empty = parts.iter().any(|part| part.values().is_empty())
            || days.iter().any(|part| part.values().is_empty() && !part.has_modifiers());
        if is_empty {
            return Err(invalid("one of its fields is empty".to_owned()));
        }
        let time_zone = time_zone.parse::<Tz>().map_err(|_| CronError::TimeZone(beginning(time_zone)))?;
        let names_hours = pattern.pattern.hours.values().len() < 24;
        Ok(Self { text: text.split_whitespace().collect::<Vec<_>>().join(" "), time_zone, pattern, names_hours })
    }

    /// The pattern, with one blank between its fields.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name of the time zone.
    pub fn time_zone(&self) -> &'static str {
        self.time_zone.name()
    }

    /// The first tick after a time; `None` if there is none.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if after >= SEARCH_MAX {
            return None;
        }
        let after = DateTime::<Utc>::from(after).with_timezone(&self.time_zone);
        if !self.names_hours {
            let next = self.pattern.find_next_occurrence(&after, false).ok()?;
            return Some(next.to_utc().into()).filter(|next| *next < SEARCH_MAX);
        }
        // The later a clock on the wall shows, the later (or the same) is the moment that is meant: so all that it had shown by
        // then was over by then.
        let mut shown = after.naive_local();
        loop {
            shown = self.pattern.find_next_occurrence(&shown, false).ok()?;
            let meant = self.meant_by(shown);
            if meant > after {
                return Some(meant.into()).filter(|next| *next < SEARCH_MAX);
            }
        }
    }

    /// The moment that is meant by what a clock on the wall shows.
    fn meant_by(&self, shown: NaiveDateTime) -> DateTime<Utc> {
        match self.time_zone.from_local_datetime(&shown) {
            MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => time.to_utc(),
            MappedLocalTime::None => self.jump_over(shown),
        }
    }

    /// The moment at which the clock is put forward, to beyond what it never shows.
    fn jump_over(&self, never_shown: NaiveDateTime) -> DateTime<Utc> {
        let shows = |time: DateTime<Utc>| time.with_timezone(&self.time_zone).naive_local();
        // Nowhere is the time more than 26 hours from UTC.
        let (mut before, mut after) =
            (never_shown.and_utc() - TimeDelta::hours(26), never_shown.and_utc() + TimeDelta::hours(26));
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            if shows(middle) > never_shown { after = middle } else { before = middle }
        }
        after
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.time_zone) == (&other.text, other.time_zone)
    }
}

impl Eq for Cron {}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.text, self.time_zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    /// The next ticks, to the minute.
    fn ticks(pattern: &str, time_zone: &str, after: &str, count: usize) -> Vec<String> {
        let cron = Cron::new(pattern, time_zone).unwrap();
        let next = |after: &Timestamp| cron.next_after(*after);
        let ticks = std::iter::successors(cron.next_after(time(after)), next).take(count);
        ticks.map(|tick| tick.to_string()[..16].to_owned()).collect()
    }

    #[test]
    fn a_pattern_goes_by_the_clocks_of_its_time_zone_in_summer_and_in_winter() {
        assert_eq!(
            ticks("0 9 * * 1-5", "Europe/Berlin", "2026-03-27T00:00:00Z", 2),
            ["2026-03-27T08:00", "2026-03-30T07:00"]
        );
        assert_eq!(
            ticks("0 9 * * *", "America/New_York", "2026-10-31T00:00:00Z", 2),
            ["2026-10-31T13:00", "2026-11-01T14:00"]
        );
        assert_eq!(ticks("0 0 L * *", "UTC", "2028-02-01T00:00:00Z", 1), ["2028-02-29T00:00"]);
        assert_eq!(ticks("@daily", "Asia/Kolkata", "2026-01-01T00:00:00Z", 1), ["2026-01-01T18:30"]);
    }

    #[test]
    fn a_time_that_is_not_there_ticks_once_when_the_clock_is_put_forward() {
        // 02:00 becomes 03:00: at 01:00 UTC in Berlin, at 07:00 UTC in New York.
        for pattern in ["30 2 * * *", "0 2 * * *", "*/10 2 * * *"] {
            let berlin = ticks(pattern, "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
            assert_eq!(berlin[0], "2026-03-29T01:00", "{pattern}");
            assert!(berlin[1].starts_with("2026-03-30T00:"), "{pattern}: {berlin:?}");
            let new_york = ticks(pattern, "America/New_York", "2026-03-07T12:00:00Z", 2);
            assert_eq!(new_york[0], "2026-03-08T07:00", "{pattern}");
            assert!(new_york[1].starts_with("2026-03-09T06:"), "{pattern}: {new_york:?}");
        }
        // With another tick at that very moment: one.
        let both = ticks("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 3);
        assert_eq!(both, ["2026-03-29T01:00", "2026-03-30T00:00", "2026-03-30T01:00"]);
        // At midnight, and by half an hour, and by a whole day.
        assert_eq!(ticks("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", 1), ["2026-04-23T22:00"]);
        assert_eq!(ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 1), ["2026-10-03T15:30"]);
        assert_eq!(ticks("0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", 1), ["2011-12-30T10:00"]);
    }

    #[test]
    fn a_time_that_is_there_twice_ticks_once_when_the_clock_is_put_back() {
        // 03:00 becomes 02:00, at 01:00 UTC, in Berlin; 02:00 becomes 01:00, at 06:00 UTC, in New York.
        let berlin = ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        assert_eq!(berlin, ["2026-10-25T00:30", "2026-10-26T01:30"]);
        let quarters = ticks("*/15 2,3 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 5);
        assert_eq!(quarters[3..], ["2026-10-25T00:45", "2026-10-25T02:00"]);
        let new_york = ticks("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2);
        assert_eq!(new_york, ["2026-11-01T05:30", "2026-11-02T06:30"]);
    }

    #[test]
    fn what_ticks_in_every_hour_goes_by_the_time_that_passes() {
        let forward = ticks("30 * * * *", "Europe/Berlin", "2026-03-28T23:45:00Z", 3);
        assert_eq!(forward, ["2026-03-29T00:30", "2026-03-29T01:30", "2026-03-29T02:30"]);
        let back = ticks("30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 3);
        assert_eq!(back, ["2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T02:30"]);
    }

    #[test]
    fn what_never_ticks_is_found_out_soon() {
        let begun = std::time::Instant::now();
        for pattern in ["0 0 30 2 *", "0 0 31 2,4,6 *", "* * * 30 2 *", "* * * 31 4 +MON#5"] {
            assert_eq!(Cron::new(pattern, "Europe/Berlin").unwrap().next_after(time("2026-01-01T00:00:00Z")), None);
        }
        assert_eq!(Cron::new("* * * * *", "UTC").unwrap().next_after(time("9999-01-01T00:00:00Z")), None);
        assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_what_is_wrong() {
        let long = format!("{} * * * *", "1,".repeat(200));
        for bad in [
            "",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "x * * * *",
            "@reboot",
            ", * * * *",
            "0 0 * * 8",
            "0 0 31-1 * *",
            &*long,
            "ſ * * * *",
        ] {
            let error = Cron::new(bad, "UTC").unwrap_err().to_string();
            assert!(error.contains("is no cron pattern: ") && error.len() < 700, "{bad:?}: {error}");
        }
        assert_eq!(Cron::new("* * * * *", "Berlin"), Err(CronError::TimeZone("Berlin".to_owned())));
    }
}
