//! What guests may use: the limits that can be set for each namespace.

use std::collections::BTreeMap;
use std::time::Duration;

/// A number that a limit can be.
trait Number: Copy {
    fn as_u64(self) -> u64;
    fn from_u64(number: u64) -> Self;
}

macro_rules! numbers {
    ($($type:ty),+) => {
        $(
            impl Number for $type {
                fn as_u64(self) -> u64 {
                    u64::try_from(self).unwrap_or(u64::MAX)
                }

                fn from_u64(number: u64) -> Self {
                    Self::try_from(number).unwrap_or(Self::MAX)
                }
            }
        )+
    };
}

numbers!(usize, u32);

impl Number for u64 {
    fn as_u64(self) -> u64 {
        self
    }

    fn from_u64(number: u64) -> Self {
        number
    }
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr,)+) => {
        /// What a guest, a run or a whole namespace may use. All limits are fixed numbers: one that depended on the host's load
        /// would break replay. `docs/limits.md` says of each what happens at it.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct GuestLimits {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for GuestLimits {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl GuestLimits {
            /// Their names, as operators write them.
            pub const NAMES: &[&str] = &[$(stringify!($name)),+];

            /// The limit of this name, if there is one.
            pub fn get(&self, name: &str) -> Option<u64> {
                match name {
                    $(stringify!($name) => Some(self.$name.as_u64()),)+
                    _ => None,
                }
            }

            /// Set the limit of this name. Returns whether there is one.
            pub fn set(&mut self, name: &str, number: u64) -> bool {
                match name {
                    $(stringify!($name) => self.$name = Number::from_u64(number),)+
                    _ => return false,
                }
                true
            }
        }
    };
}

limits! {
    /// Bytes of all linear memories and tables of one instance together.
    memory_bytes: usize = 64 << 20,
    /// Linear memories in one component instance.
    memories: usize = 4,
    /// Tables in one component instance.
    tables: usize = 16,
    /// Elements of one table.
    table_elements: usize = 20_000,
    /// Core instances in one component instance.
    instances: usize = 32,
    /// Fuel, about one instruction each, for what a workflow does after one event.
    event_fuel: u64 = 1_000_000_000,
    /// Milliseconds by the clock for what a workflow does after one event, without those in which others have their turn. Their end is
    /// never recorded as a result.
    event_time_ms: u64 = 5_000,
    /// Fuel for one attempt of a step.
    step_fuel: u64 = 20_000_000_000,
    /// Milliseconds by the clock for one attempt of a step, whatever timeout the step has.
    step_time_ms: u64 = 24 * 60 * 60 * 1_000,
    /// Bytes that the host allocates for the arguments of one call from the guest.
    hostcall_bytes: usize = 2 << 20,
    /// Handles that one instance may hold at once.
    resources: usize = 1_024,
    /// Bytes of one payload.
    payload_bytes: usize = 1 << 20,
    /// Bytes of what an attempt reports of itself.
    heartbeat_bytes: usize = 64 << 10,
    /// Bytes of one draw of randomness.
    random_bytes: u32 = 64 << 10,
    /// Calls that a run may have open at once.
    open_calls: usize = 10_000,
    /// Bytes of what the calls that a run has open hand over: the host holds them as long as the calls are open.
    open_call_bytes: usize = 16 << 20,
    /// Timers that a run may have open at once.
    open_timers: usize = 5_000,
    /// Children that a run may wait for at once.
    open_children: usize = 1_000,
    /// Children that a run may start, since it was accepted or last continued as new.
    children: u32 = 100_000,
    /// Events of a run, since it was accepted or last continued as new.
    events: u32 = 2_000_000,
    /// Bytes of the documents in these events: a replay reads them all.
    history_bytes: usize = 64 << 20,
    /// Events of a run from which on its log has a warning.
    history_warning: u32 = 50_000,
    /// Signals and updates that may wait in the inbox of a run.
    inbox_letters: u32 = 10_000,
    /// Bytes of what they carry.
    inbox_bytes: usize = 32 << 20,
    /// Keys that a run may publish.
    published_keys: usize = 64,
    /// Bytes of these keys and their values together.
    published_bytes: usize = 4 << 20,
    /// Bytes of one line of a log; the rest is cut.
    log_line_bytes: usize = 16 << 10,
    /// Lines of a run's log, and of an attempt's; then one more that says so.
    log_lines: u32 = 10_000,
    /// Bytes of a run's log, and of an attempt's; then one line more that says so.
    log_bytes: usize = 1 << 20,
    /// Bytes of the lines of a run and all its attempts together, in all its generations.
    run_log_bytes: usize = 16 << 20,
    /// Requests that one attempt of a step may send.
    http_requests: u32 = 100,
    /// Bytes of the bodies of all requests of one attempt.
    http_request_bytes: u64 = 10 << 20,
    /// Bytes of the bodies of all responses that one attempt reads.
    http_response_bytes: u64 = 10 << 20,
    /// Milliseconds that a request of a step may take to connect, then to the first byte of its answer, and between two of its bytes.
    http_time_ms: u64 = 600_000,
    /// Schedules that a namespace may have.
    schedules: u32 = 1_000,
    /// Bytes of everything that a namespace keeps in the database, about.
    storage_bytes: u64 = 64 << 30,
}

/// The limits of a namespace that are its own, by name.
pub type OwnLimits = BTreeMap<String, u64>;

/// Why a limit cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There is none of this name.
    #[error("there is no limit `{0}`; there are {all}", all = GuestLimits::NAMES.join(", "))]
    NoSuch(String),
    /// More than the operator allows.
    #[error("`{name}` can be {most} at most, which is what the operator of the hosts allows; {asked} is more")]
    TooHigh {
        /// Which.
        name: String,
        /// What was asked for.
        asked: u64,
        /// What there may be.
        most: u64,
    },
    /// No number of the limit's unit.
    #[error("`{text}` is no number for `{name}`: write a whole number, or {unit}")]
    Unreadable {
        /// Which limit.
        name: String,
        /// What stands there.
        text: String,
        /// How its unit is written.
        unit: &'static str,
    },
}

impl GuestLimits {
    /// [`event_time_ms`](Self::event_time_ms).
    pub fn event_time(&self) -> Duration {
        Duration::from_millis(self.event_time_ms)
    }

    /// [`step_time_ms`](Self::step_time_ms).
    pub fn step_time(&self) -> Duration {
        Duration::from_millis(self.step_time_ms)
    }

    /// [`http_time_ms`](Self::http_time_ms).
    pub fn http_time(&self) -> Duration {
        Duration::from_millis(self.http_time_ms)
    }

    /// These, but for what a namespace has of its own. What is its own was checked when it was set; where the operator allows less
    /// by now, that counts, and a limit that this host does not know is another version's.
    pub fn with(&self, own: &OwnLimits) -> Self {
        let mut limits = self.clone();
        for (name, number) in own {
            if let Some(most) = self.get(name) {
                limits.set(name, (*number).min(most));
            }
        }
        limits
    }

    /// As a host says them; those that this program does not know are left out.
    pub fn told(numbers: &BTreeMap<String, u64>) -> Self {
        let mut limits = Self::default();
        for (name, number) in numbers {
            limits.set(name, *number);
        }
        limits
    }

    /// Whether a namespace may have this of its own: no more than these.
    pub fn check(&self, name: &str, asked: u64) -> Result<(), LimitError> {
        match self.get(name) {
            None => Err(LimitError::NoSuch(name.to_owned())),
            Some(most) if asked > most => Err(LimitError::TooHigh { name: name.to_owned(), asked, most }),
            Some(_) => Ok(()),
        }
    }
}

/// A number as people write it for the limit `name`: `10_000`; of bytes, `32MiB`; of milliseconds, `5s`.
pub fn parse_limit(name: &str, text: &str) -> Result<u64, LimitError> {
    let text = text.trim();
    let plain = |digits: &str| digits.trim().replace('_', "").parse::<u64>().ok();
    let (number, unit) = if name.ends_with("_bytes") {
        const UNITS: [(&str, u64); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
        let with_unit = UNITS.iter().find_map(|(unit, bytes)| {
            let digits = text.strip_suffix(unit)?;
            plain(digits)?.checked_mul(*bytes)
        });
        (plain(text).or(with_unit), "one with KiB, MiB, GiB or TiB")
    } else if name.ends_with("_ms") {
        let with_unit = humantime::parse_duration(text).ok().and_then(|time| u64::try_from(time.as_millis()).ok());
        (plain(text).or(with_unit), "a duration such as 5s or 500ms")
    } else {
        (plain(text), "one with `_` between its digits")
    };
    number.ok_or_else(|| LimitError::Unreadable { name: name.to_owned(), text: text.chars().take(64).collect(), unit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_has_what_is_its_own_and_never_more_than_the_operator_allows() {
        let limits = GuestLimits::default();
        let own = OwnLimits::from([
            ("memory_bytes".to_owned(), 1 << 20),
            ("open_calls".to_owned(), u64::MAX),
            ("of_another_version".to_owned(), 1),
        ]);
        let with = limits.with(&own);
        assert_eq!((with.memory_bytes, with.open_calls), (1 << 20, limits.open_calls));
        assert_eq!(GuestLimits { memory_bytes: limits.memory_bytes, ..with }, limits);
        assert!(limits.check("memory_bytes", 64 << 20).is_ok());
        assert!(matches!(limits.check("memory_bytes", (64 << 20) + 1), Err(LimitError::TooHigh { .. })));
        assert!(matches!(limits.check("memory", 1), Err(LimitError::NoSuch(_))));
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (name, text, number) in [
            ("memory_bytes", "32MiB", Some(32 << 20)),
            ("memory_bytes", "1_024", Some(1_024)),
            ("memory_bytes", "1 GiB", Some(1 << 30)),
            ("memory_bytes", "5s", None),
            ("event_time_ms", "5s", Some(5_000)),
            ("event_time_ms", "250", Some(250)),
            ("open_calls", "10_000", Some(10_000)),
            ("open_calls", "10KiB", None),
            ("open_calls", "-1", None),
            ("storage_bytes", "99999999TiB", None),
        ] {
            assert_eq!(parse_limit(name, text).ok(), number, "{name}={text}");
        }
    }

    #[test]
    fn every_limit_can_be_read_and_set_by_its_name() {
        let mut limits = GuestLimits::default();
        for name in GuestLimits::NAMES {
            assert!(limits.get(name).is_some() && limits.set(name, 7), "{name}");
            assert_eq!(limits.get(name), Some(7));
        }
    }
}
