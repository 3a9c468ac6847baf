//! What the API lets in at once, and how long it waits for whoever is slow.

use std::num::NonZeroU32;
use std::time::Duration;

/// Limits of the API of one host. None of them says anything about runs.
#[derive(Clone, Debug)]
pub struct ApiLimits {
    /// Connections at once. Above it new ones are closed, and so are those that have been idle for a second.
    pub connections: usize,
    /// Requests in work at once that are answered as soon as can be. Above it they are refused with `overloaded`.
    pub requests: usize,
    /// The same for requests that may wait for a run, and for streams of events: they cost memory, and hardly any time.
    pub waiting: usize,
    /// The same for uploads: they cost memory and time.
    pub uploads: usize,
    /// What each namespace may ask for; none is no limit.
    pub rate: Option<Rate>,
    /// What each caller may, by its key, and each address that has shown none; none is no limit of its own.
    pub caller_rate: Option<Rate>,
    /// How long a client may take from the first byte of a request's head to the last, or for a TLS handshake.
    pub head_timeout: Duration,
    /// How long a client may keep still in the middle of a request's body or of an answer; and how far it may be behind 8 KiB a
    /// second in all.
    pub stall_timeout: Duration,
    /// How long a connection is kept that nothing is asked on.
    pub idle_timeout: Duration,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a second, on average.
    pub per_second: NonZeroU32,
    /// Requests at once, after a time without any.
    pub burst: NonZeroU32,
}

/// Bytes a second: a client that takes longer for a body or for an answer, in all, is taken for one that only wants to occupy
/// the host.
pub(super) const SLOWEST: u64 = 8 << 10;

/// Bytes of a request's head: its first line and its headers.
pub(super) const HEAD_BYTES_MAX: usize = 32 << 10;

/// Bytes that a connection holds that has not sent a whole head, and at a time of a body.
pub(super) const BUFFER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;

impl ApiLimits {
    /// Requests a second for each namespace, and for each caller, where nothing else is said: more than a host of a few processors serves.
    pub const RATE_DEFAULT: u32 = 10_000;

    /// Connections at once, where nothing else is said.
    pub const CONNECTIONS_DEFAULT: usize = 10_000;

    /// Requests in work at once, where nothing else is said.
    pub const REQUESTS_DEFAULT: usize = 1_024;

    /// Requests at once that wait, where nothing else is said.
    pub const WAITING_DEFAULT: usize = 8_192;
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            connections: Self::CONNECTIONS_DEFAULT,
            requests: Self::REQUESTS_DEFAULT,
            waiting: Self::WAITING_DEFAULT,
            uploads: 16,
            rate: Rate::new(Self::RATE_DEFAULT, None),
            caller_rate: Rate::new(Self::RATE_DEFAULT, None),
            head_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
        }
    }
}

impl Rate {
    /// So many a second, and so many at once; twice as many as a second's if nothing is said. None if one of them is 0.
    pub fn new(per_second: u32, burst: Option<u32>) -> Option<Self> {
        let burst = burst.unwrap_or_else(|| per_second.saturating_mul(2));
        Some(Self { per_second: NonZeroU32::new(per_second)?, burst: NonZeroU32::new(burst)? })
    }
}
