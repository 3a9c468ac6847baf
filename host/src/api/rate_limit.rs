//! How much each namespace, caller and address may ask for.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use super::limits::Rate;
use super::{Code, Problem};

/// Whom a request counts against. Every request under a namespace counts against that; a layer that knows more puts a
/// [`Who::Caller`] into the request's extensions, and it counts against both, each at its own rate.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A namespace, by its name in the address.
    Namespace(Box<str>),
    /// Whoever has shown who it is, by the id of its key or whatever it is known by. Never a secret.
    Caller(Box<str>),
    /// Whoever has not.
    Address(IpAddr),
}

/// A token bucket for each, as long as it is not full.
#[derive(Debug)]
pub struct RateLimiter {
    buckets: DefaultKeyedRateLimiter<Who>,
    rate: Rate,
    clock: DefaultClock,
    asked: AtomicU32,
}

/// How many seconds whoever asks has to wait: rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(pub u64);

/// After so many questions, those are forgotten whose bucket is full again: no more than these and those who ask more than they
/// may are ever remembered.
const FORGET_EVERY: u32 = 10_000;

impl RateLimiter {
    /// The same rate for everybody.
    pub fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            buckets: DefaultKeyedRateLimiter::keyed(quota),
            rate,
            clock: DefaultClock::default(),
            asked: AtomicU32::new(0),
        }
    }

    /// Take one token from somebody's bucket.
    pub fn take(&self, who: &Who) -> Result<(), RetryAfter> {
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.buckets.retain_recent();
            self.buckets.shrink_to_fit();
        }
        self.buckets.check_key(who).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            RetryAfter(wait.as_secs() + 1)
        })
    }

    /// What somebody is told who has none left.
    pub(super) fn refuse(&self, who: &Who) -> Problem {
        let Rate { per_second, burst } = self.rate;
        let whose = match who {
            Who::Namespace(_) => "the namespace",
            Who::Caller(_) => "the API key",
            Who::Address(_) => "the address",
        };
        let detail = format!(
            "{whose} may ask {per_second} times a second, and {burst} times at once; try again after `Retry-After`"
        );
        Problem::new(Code::RateLimited, detail)
    }

    /// How many are remembered.
    #[cfg(test)]
    fn remembered(&self) -> usize {
        self.buckets.len()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn namespace(name: &str) -> Who {
        Who::Namespace(name.into())
    }

    #[test]
    fn each_has_a_bucket_of_its_own_and_is_told_how_long_to_wait() {
        let limiter = RateLimiter::new(Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(3).unwrap() });
        for _ in 0..3 {
            assert_eq!(limiter.take(&namespace("one")), Ok(()));
        }
        assert_eq!(limiter.take(&namespace("one")), Err(RetryAfter(1)));
        assert_eq!(limiter.take(&namespace("two")), Ok(()));
        assert_eq!(limiter.take(&Who::Caller("one".into())), Ok(()), "a caller is no namespace");
        assert_eq!(limiter.take(&Who::Address(IpAddr::from([127, 0, 0, 1]))), Ok(()));
    }

    #[test]
    fn whoever_has_been_quiet_is_forgotten() {
        let rate = NonZeroU32::new(1_000_000).unwrap();
        let limiter = RateLimiter::new(Rate { per_second: rate, burst: rate });
        for number in 0..5 * FORGET_EVERY {
            assert_eq!(limiter.take(&namespace(&number.to_string())), Ok(()));
        }
        assert!(limiter.remembered() < 2 * FORGET_EVERY as usize, "{}", limiter.remembered());
    }
}
