//! What the WIT does not allow: on a host it traps, and here it panics with the same code.

use std::time::Duration;

use crate::bindings::windlass::workflow::types::RetryPolicy;

pub(super) const OPEN_CALLS: usize = 10_000;
pub(super) const KEYS: usize = 64;
pub(super) const TAGS: usize = 16;
pub(super) const LETTERS: usize = 10_000;
pub(super) const PAYLOAD_BYTES: usize = 1 << 20;
const TAG_KEY: usize = 64;
const TAG_VALUE: usize = 128;
const RANDOM_BYTES: u32 = 65_536;
const DURATION: Duration = Duration::from_secs(3_155_760_000);

pub(super) fn trap(code: &str, message: impl std::fmt::Display) -> ! {
    panic!("{code}: {message}")
}

/// Of a step, signal, key or failure.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._:/-".contains(&c);
    (1..=128).contains(&name.len()) && name.bytes().all(allowed)
}

pub(super) fn name(name: &str) {
    if !is_name(name) {
        trap("invalid-name", format!("`{name}` is no name: 1 to 128 letters, digits, `.`, `_`, `:`, `/` or `-`"));
    }
}

pub(super) fn tag(key: &str, value: &str) {
    if !is_name(key) || key.len() > TAG_KEY {
        trap("invalid-tag", format!("`{key}` is no key of a tag: a name of 1 to {TAG_KEY} characters"));
    }
    if !(1..=TAG_VALUE).contains(&value.chars().count()) || value.contains(|c: char| c == ',' || c.is_control()) {
        let rule = format!("1 to {TAG_VALUE} characters, without commas and control characters");
        trap("invalid-tag", format!("the value of the tag `{key}` has {rule}"));
    }
}

pub(super) fn duration(micros: u64) {
    if Duration::from_micros(micros) > DURATION {
        trap("duration-too-long", "a duration is at most 100 years");
    }
}

pub(super) fn payload(payload: &[u8]) {
    if payload.len() > PAYLOAD_BYTES {
        trap("payload-too-large", format!("{} bytes, and {PAYLOAD_BYTES} are the most", payload.len()));
    }
}

pub(super) fn random(length: u32) {
    if length > RANDOM_BYTES {
        trap("random-too-long", format!("{length} random bytes at once, and {RANDOM_BYTES} are the most"));
    }
}

pub(super) fn retry(policy: &RetryPolicy) {
    duration(policy.initial);
    duration(policy.maximum);
    let good = (1..=1_000_000).contains(&policy.max_attempts)
        && (1.0..=100.0).contains(&policy.factor)
        && (0.0..=1.0).contains(&policy.jitter);
    if !good {
        trap("invalid-retry-policy", format!("{policy:?}"));
    }
}
