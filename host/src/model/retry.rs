//! When to try again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{duration_from_us, duration_us};

/// How often and how fast a failed step is tried again. See `retry-policy` in `wit/types.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first one included.
    pub max_attempts: u32,
    /// The wait after the first attempt, in microseconds.
    pub initial_us: u64,
    /// By how much each wait is longer than the last.
    pub factor: f64,
    /// The longest wait, in microseconds.
    pub maximum_us: u64,
    /// The random part of a wait, 0.0 to 1.0.
    pub jitter: f64,
}

impl RetryPolicy {
    /// Whether every number is within the limits of the WIT; if not, which one is not.
    pub fn check(&self) -> Result<(), &'static str> {
        if !(1..=1_000_000).contains(&self.max_attempts) {
            return Err("max-attempts is from 1 to 1,000,000");
        }
        if duration_from_us(self.initial_us).is_none() || duration_from_us(self.maximum_us).is_none() {
            return Err("initial and maximum are at most 100 years");
        }
        if !(1.0..=100.0).contains(&self.factor) {
            return Err("factor is from 1 to 100");
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err("jitter is from 0 to 1");
        }
        Ok(())
    }

    /// The wait after attempt `attempt` (1 for the first) failed; `random` is from 0.0 to 1.0. `None`: it was the last.
    pub fn wait(&self, attempt: u32, random: f64) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        // Saturates: whatever is beyond f64 or u64 is beyond the maximum.
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let full_us = (self.initial_us as f64 * self.factor.powi(exponent)).min(self.maximum_us as f64);
        Some(Duration::from_micros((full_us * (1.0 - self.jitter * random)) as u64))
    }
}

impl Default for RetryPolicy {
    /// Ten attempts, 200 ms after the first, doubling up to a minute: about three minutes in all.
    fn default() -> Self {
        let maximum_us = duration_us(Duration::from_secs(60));
        Self { max_attempts: 10, initial_us: 200_000, factor: 2.0, maximum_us, jitter: 0.2 }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_grow_up_to_the_maximum_and_end_with_the_last_attempt() {
        let policy = RetryPolicy { max_attempts: 5, initial_us: 100, factor: 3.0, maximum_us: 1_000, jitter: 0.0 };
        let waits: Vec<_> = (1..=5).map(|attempt| policy.wait(attempt, 0.5).map(duration_us)).collect();
        assert_eq!(waits, [Some(100), Some(300), Some(900), Some(1_000), None]);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_maximum_or_shorter_than_the_jitter_allows(
            attempt in 1u32..1_000_000, initial_us in 0u64..1_000_000_000_000, factor in 1.0f64..100.0,
            maximum_us in 0u64..1_000_000_000_000, jitter in 0.0f64..1.0, random in 0.0f64..1.0,
        ) {
            let policy = RetryPolicy { max_attempts: 1_000_000, initial_us, factor, maximum_us, jitter };
            prop_assert!(policy.check().is_ok());
            let wait_us = policy.wait(attempt, random).map(duration_us).expect("not the last attempt");
            prop_assert!(wait_us <= maximum_us);
            let least = initial_us.min(maximum_us) as f64 * (1.0 - jitter);
            prop_assert!(wait_us as f64 >= least - 1.0);
        }
    }
}
