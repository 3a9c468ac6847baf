//! Schedules: which workflow is started when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::cron::{Cron, CronError};
use super::name::beginning;
use super::{Durability, Name, Payload, Priority, RunId, Tags, Timestamp, duration_from_us, duration_us};

/// What a schedule is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The workflow that is started at each tick.
    pub workflow: Name,
    /// What it is started with.
    pub input: Payload,
    /// When its guest sees events.
    pub durability: Durability,
    /// From its start until it is asked to stop.
    pub timeout: Option<Duration>,
    /// What each of its runs is found by.
    pub tags: Tags,
    /// Before which others its runs are taken up, and after which.
    pub priority: Priority,
    /// Of the runs of its workflow that have the same, so many may be under way at once.
    pub concurrency_key: Option<String>,
    /// When it ticks.
    pub spec: ScheduleSpec,
    /// What becomes of a tick while the run of an earlier one is open.
    pub overlap: Overlap,
    /// By how much each tick may be due later than it ticks.
    pub jitter: Duration,
    /// How late a tick may be and still start its run.
    pub catch_up: Duration,
}

/// When a schedule ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SpecText", into = "SpecText")]
#[expect(clippy::large_enum_variant, reason = "a host has few of them in its hands at a time")]
pub enum ScheduleSpec {
    /// When clocks show this.
    Cron(Cron),
    /// Every so often, counted from a time.
    Every {
        /// How often.
        every: Duration,
        /// The first tick; by default 1970, so that `1h` means every full hour.
        from: Timestamp,
    },
    /// Once.
    At(Timestamp),
}

/// When a schedule ticks, as people write it: `cron`, `every` or `at`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SpecText {
    /// A cron pattern: minute, hour, day of month, month, day of week; with seconds in front, if it has six fields.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "0 9 * * 1-5")]
    pub cron: Option<String>,
    /// Of `cron`: the time zone, by its name in the IANA database. Without, it is UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
    /// How often: `15m`, `1h 30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// Of `every`: the first tick. Without, `1h` means every full hour UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Timestamp>,
    /// Once, at this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Timestamp>,
}

/// What becomes of a tick while the run of an earlier one is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// It starts nothing.
    #[default]
    Skip,
    /// It waits for the end of that run; one waits at most, and later ones start nothing.
    BufferOne,
    /// That run is asked to stop, and the tick waits for its end; a later one takes its place.
    Cancel,
    /// It starts its run beside it.
    Allow,
}

/// Why a schedule cannot be as it was asked to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// None of the three, or several.
    #[error("a schedule has one of `cron`, `every` and `at`")]
    OneOf,
    /// What belongs to another kind.
    #[error("`{0}` goes with `{1}`")]
    GoesWith(&'static str, &'static str),
    /// A pattern or a time zone.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// A duration that cannot be read.
    #[error("every `{0}`: write a duration, such as 90s, 15m or 1h 30m")]
    Unreadable(String),
    /// Too often or too rarely.
    #[error("a schedule ticks once a second at most, and once in ten years at least")]
    Every,
    /// No tick to come.
    #[error("it would never tick: there is no such time from now on")]
    Never,
    /// Longer than what is between two ticks.
    #[error("the jitter has to be shorter than the time between two ticks, which is {}", humantime::format_duration(*.0))]
    Jitter(Duration),
    /// Too short or too long.
    #[error("`catch_up` is from 10s to 365days")]
    CatchUp,
    /// Longer than any duration may be.
    #[error("a timeout is at most 100 years")]
    Timeout,
}

/// How often a schedule can tick.
const EVERY_MIN: Duration = Duration::from_secs(1);

/// How rarely.
const EVERY_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

const CATCH_UP_MIN: Duration = Duration::from_secs(10);
const CATCH_UP_MAX: Duration = Duration::from_secs(365 * 86_400);

/// So many ticks are looked at to find out how far apart they are.
const GAPS: usize = 16;

impl Schedule {
    /// Whether it can be so, and its first tick after `now`: none if it has none any more.
    pub fn check(&self, now: Timestamp) -> Result<Option<Timestamp>, ScheduleError> {
        if !(CATCH_UP_MIN..=CATCH_UP_MAX).contains(&self.catch_up) {
            return Err(ScheduleError::CatchUp);
        }
        if self.timeout.is_some_and(|timeout| duration_from_us(duration_us(timeout)).is_none()) {
            return Err(ScheduleError::Timeout);
        }
        let next = self.spec.next_after(now);
        if !self.jitter.is_zero() {
            let ticks: Vec<_> = self.spec.ticks_after(now).take(GAPS).collect();
            let shortest = ticks.windows(2).map(|two| two[1].since(two[0])).min();
            if let Some(shortest) = shortest.filter(|shortest| self.jitter >= *shortest) {
                return Err(ScheduleError::Jitter(shortest));
            }
            // Of one that ticks once, or rarely.
            if self.jitter > CATCH_UP_MAX {
                return Err(ScheduleError::Jitter(CATCH_UP_MAX));
            }
        }
        Ok(next)
    }
}

impl ScheduleSpec {
    /// The first tick after a time; `None` if there is none.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let next = match self {
            Self::Cron(cron) => cron.next_after(after)?,
            Self::Every { from, .. } if *from > after => *from,
            Self::Every { every, from } => {
                let (every, since) = (duration_us(*every), duration_us(after.since(*from)));
                from.after(Duration::from_micros((since / every + 1).saturating_mul(every)))
            }
            Self::At(at) => *at,
        };
        // The largest time there is has nothing after it.
        Some(next).filter(|next| *next > after)
    }

    /// All ticks after a time.
    pub fn ticks_after(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next_after(after), |after| self.next_after(*after))
    }
}

/// When a tick is due: up to `jitter` later, by a length that each tick has of its own and that all hosts agree on.
pub fn due_at(namespace: &str, schedule: &str, tick: Timestamp, jitter: Duration) -> Timestamp {
    let most = duration_us(jitter);
    if most == 0 {
        return tick;
    }
    let mut hash = Sha256::new();
    hash.update(b"windlass/jitter/");
    hash.update((namespace.len() as u64).to_be_bytes());
    hash.update(namespace);
    hash.update((schedule.len() as u64).to_be_bytes());
    hash.update(schedule);
    hash.update(tick.as_micros().to_be_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    tick.after(Duration::from_micros(u64::from_be_bytes(bytes) % most))
}

/// The idempotency key of a tick's run, and the id that follows from it.
pub fn run_of_tick(namespace: &str, schedule: &str, tick: Timestamp) -> (String, RunId) {
    let key = format!("schedule/{schedule}/{tick}");
    let run_id = RunId::from_key(namespace, &key);
    (key, run_id)
}

impl Overlap {
    /// All of them; the place of each is its code in the database.
    pub const ALL: [Self; 4] = [Self::Skip, Self::BufferOne, Self::Cancel, Self::Allow];

    /// As it is written everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::BufferOne => "buffer-one",
            Self::Cancel => "cancel",
            Self::Allow => "allow",
        }
    }
}

impl FromStr for Overlap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Self::ALL.map(Self::as_str).join(", ");
        Self::ALL.into_iter().find(|overlap| overlap.as_str() == text).ok_or_else(|| format!("it is one of {all}"))
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<SpecText> for ScheduleSpec {
    type Error = ScheduleError;

    fn try_from(text: SpecText) -> Result<Self, ScheduleError> {
        let SpecText { cron, time_zone, every, from, at } = text;
        if time_zone.is_some() && cron.is_none() {
            return Err(ScheduleError::GoesWith("time_zone", "cron"));
        }
        if from.is_some() && every.is_none() {
            return Err(ScheduleError::GoesWith("from", "every"));
        }
        match (cron, every, at) {
            (Some(cron), None, None) => Ok(Self::Cron(Cron::new(&cron, time_zone.as_deref().unwrap_or("UTC"))?)),
            (None, Some(every), None) => {
                let unreadable = |_| ScheduleError::Unreadable(beginning(&every));
                let every = humantime::parse_duration(&every).map_err(unreadable)?;
                // What the database cannot tell apart is none.
                let every = Duration::from_micros(duration_us(every));
                if !(EVERY_MIN..=EVERY_MAX).contains(&every) {
                    return Err(ScheduleError::Every);
                }
                Ok(Self::Every { every, from: from.unwrap_or_default() })
            }
            (None, None, Some(at)) => Ok(Self::At(at)),
            _ => Err(ScheduleError::OneOf),
        }
    }
}

impl From<ScheduleSpec> for SpecText {
    fn from(spec: ScheduleSpec) -> Self {
        match spec {
            ScheduleSpec::Cron(cron) => {
                let (text, time_zone) = (cron.text().to_owned(), cron.time_zone().to_owned());
                Self { cron: Some(text), time_zone: Some(time_zone), ..Self::default() }
            }
            ScheduleSpec::Every { every, from } => {
                let from = Some(from).filter(|from| *from != Timestamp::default());
                Self { every: Some(humantime::format_duration(every).to_string()), from, ..Self::default() }
            }
            ScheduleSpec::At(at) => Self { at: Some(at), ..Self::default() },
        }
    }
}

impl fmt::Display for ScheduleSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cron(cron) => write!(f, "{cron}"),
            Self::Every { every, .. } => write!(f, "every {}", humantime::format_duration(*every)),
            Self::At(at) => write!(f, "at {at}"),
        }
    }
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
