//! Many measurements of the same thing.

use std::time::Duration;

/// Measured times.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The time that so much of all (0 to 1) did not exceed, in milliseconds. Nothing was measured: not a number.
    pub(super) fn quantile_ms(&mut self, part: f64) -> f64 {
        self.0.sort_unstable();
        // The smallest number of times that are at least this part of all.
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of measurements are small"
        )]
        let rank = (part * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.saturating_sub(1)).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }
}

impl Extend<Duration> for Times {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, times: I) {
        self.0.extend(times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_time_that_was_measured() {
        let mut times = Times((1..=100).rev().map(Duration::from_millis).collect());
        let quantiles = [0.0, 0.5, 0.99, 1.0].map(|part| times.quantile_ms(part));
        assert_eq!(quantiles, [1.0, 50.0, 99.0, 100.0]);
        assert!(Times::default().quantile_ms(0.5).is_nan());
    }
}
