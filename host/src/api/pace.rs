//! What a connection is at, and since when: whoever keeps a host waiting is cut off.
//!
//! The connection notes what happens, which costs a store to memory; one loop looks at all connections once a second. So there is
//! no timer for each connection, and none for each request.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::limits::{ApiLimits, SLOWEST};

/// Milliseconds since some moment before the first connection; never 0.
fn now() -> u64 {
    static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGINNING.elapsed().as_millis()).map_or(u64::MAX, |millis| millis + 1)
}

/// Of one connection. All times are those of [`now`].
#[derive(Debug)]
pub(super) struct Pace {
    /// Since when it is idle; 0 if it is not.
    idle_since: AtomicU64,
    /// Since when the head of a request, or a TLS handshake, is under way; 0 if none is.
    head_since: AtomicU64,
    /// Since when the client should have taken more of an answer; 0 if it takes what there is.
    blocked_since: AtomicU64,
}

impl Pace {
    /// Of a connection that begins with a handshake.
    pub(super) fn handshake() -> Self {
        Self { idle_since: AtomicU64::new(0), head_since: AtomicU64::new(now()), blocked_since: AtomicU64::new(0) }
    }

    /// Nothing is asked, or the last answer has been handed over.
    pub(super) fn rests(&self) {
        self.head_since.store(0, Ordering::Relaxed);
        self.idle_since.store(now(), Ordering::Relaxed);
    }

    /// The head of a request is whole: from here on it is the host's time.
    pub(super) fn asks(&self) {
        self.idle_since.store(0, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
    }

    fn has_read(&self) {
        if self.idle_since.load(Ordering::Relaxed) != 0 {
            self.idle_since.store(0, Ordering::Relaxed);
            self.head_since.store(now(), Ordering::Relaxed);
        }
    }

    fn has_written(&self, bytes: usize) {
        let since = self.blocked_since.load(Ordering::Relaxed);
        if since != 0 {
            // What it has taken counts for the time that it may have needed, so that a byte now and then is not enough.
            let since = since + bytes as u64 * 1_000 / SLOWEST;
            self.blocked_since.store(if since < now() { since } else { 0 }, Ordering::Relaxed);
        }
    }

    fn cannot_write(&self) {
        if self.blocked_since.load(Ordering::Relaxed) == 0 {
            self.blocked_since.store(now(), Ordering::Relaxed);
        }
    }

    /// Whether it has kept the host waiting for too long. `idle`: how long it may be idle now.
    pub(super) fn is_overdue(&self, limits: &ApiLimits, idle: Duration) -> bool {
        let now = now();
        let is_over = |since: &AtomicU64, limit: Duration| {
            let since = since.load(Ordering::Relaxed);
            since != 0 && u128::from(now.saturating_sub(since)) > limit.as_millis()
        };
        is_over(&self.idle_since, idle)
            || is_over(&self.head_since, limits.head_timeout)
            || is_over(&self.blocked_since, limits.stall_timeout)
    }
}

/// A connection, as it is on the wire.
pub(super) enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that notes what happens on it.
pub(super) struct Paced {
    pub(super) wire: Wire,
    pub(super) pace: Arc<Pace>,
}

/// Calls the same method of whichever it is.
macro_rules! on_wire {
    ($paced:ident, $method:ident ( $($argument:expr),* )) => {
        match &mut $paced.wire {
            Wire::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Wire::Tls(stream) => Pin::new(&mut **stream).$method($($argument),*),
        }
    };
}

impl Paced {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(bytes)) => self.pace.has_written(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pace.cannot_write(),
        }
        written
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(on_wire!(self, poll_read(context, buffer)))?;
        if buffer.filled().len() > before {
            self.pace.has_read();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = on_wire!(self, poll_write(context, bytes));
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = on_wire!(self, poll_write_vectored(context, slices));
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.wire {
            Wire::Plain(stream) => stream.is_write_vectored(),
            Wire::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = on_wire!(self, poll_flush(context));
        if flushed.is_pending() {
            self.pace.cannot_write();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_wire!(self, poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overdue(pace: &Pace) -> bool {
        let second = Duration::from_secs(1);
        let limits = ApiLimits { head_timeout: second, stall_timeout: second, ..ApiLimits::default() };
        pace.is_overdue(&limits, second)
    }

    /// So many milliseconds ago.
    fn ago(millis: u64) -> u64 {
        now().saturating_sub(millis)
    }

    #[test]
    fn whoever_is_idle_or_slow_with_a_head_is_overdue_and_whoever_waits_for_the_host_is_not() {
        // The clock of this module begins with its first use.
        while now() < 1_600 {
            std::thread::sleep(Duration::from_millis(50));
        }
        let pace = Pace::handshake();
        assert!(!overdue(&pace));
        pace.head_since.store(ago(1_500), Ordering::Relaxed);
        assert!(overdue(&pace), "the handshake takes too long");
        pace.rests();
        assert!(!overdue(&pace));
        pace.idle_since.store(ago(1_500), Ordering::Relaxed);
        assert!(overdue(&pace), "nothing is asked");
        pace.has_read();
        assert!(!overdue(&pace), "a head begins");
        pace.head_since.store(ago(1_500), Ordering::Relaxed);
        pace.has_read();
        assert!(overdue(&pace), "more of it changes nothing");
        pace.asks();
        assert!(!overdue(&pace), "it is the host's time");
    }

    #[test]
    fn an_answer_that_is_taken_byte_by_byte_is_not_taken() {
        while now() < 1_600 {
            std::thread::sleep(Duration::from_millis(50));
        }
        let pace = Pace::handshake();
        pace.asks();
        pace.cannot_write();
        pace.blocked_since.store(ago(1_500), Ordering::Relaxed);
        pace.has_written(1);
        pace.cannot_write();
        assert!(overdue(&pace));
        pace.has_written(64 << 10);
        assert!(!overdue(&pace), "that was enough");
        assert_eq!(pace.blocked_since.load(Ordering::Relaxed), 0);
    }
}
