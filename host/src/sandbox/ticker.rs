//! The thread that makes guests look at the time: every 2 ms while any computes, and not at all while none does. One for all
//! engines of the process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::EngineWeak;

/// How often guest code looks at the time.
const TICK: Duration = Duration::from_millis(2);

/// Ticks with no guest that computes after which the thread rests: to wake it costs more than to let it tick on for a while.
const QUIET_TICKS: u32 = 500;

/// Guests that compute.
static COMPUTING: AtomicUsize = AtomicUsize::new(0);

static ENGINES: Mutex<Vec<EngineWeak>> = Mutex::new(Vec::new());

static TICKER: OnceLock<Thread> = OnceLock::new();

/// A guest computes until this is dropped.
#[derive(Debug)]
pub struct Computing(());

impl Computing {
    /// From now on.
    #[expect(clippy::new_without_default, reason = "it is a beginning, not a value")]
    pub fn new() -> Self {
        // The thread looks at the count after it has decided to rest, so that one of the two sees the other.
        if COMPUTING.fetch_add(1, Ordering::SeqCst) == 0
            && let Some(ticker) = TICKER.get()
        {
            ticker.unpark();
        }
        Self(())
    }
}

impl Drop for Computing {
    fn drop(&mut self) {
        COMPUTING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Let these engines look at the time as well, as long as they are there.
pub(super) fn add(engines: impl IntoIterator<Item = EngineWeak>) {
    self::engines().extend(engines);
    TICKER.get_or_init(|| {
        let thread = thread::Builder::new().name("windlass-ticker".into()).spawn(tick);
        thread.expect("a thread at start-up").thread().clone()
    });
}

fn tick() {
    let mut quiet = 0;
    loop {
        engines().retain(|engine| {
            let engine = engine.upgrade();
            engine.as_ref().inspect(|engine| engine.increment_epoch());
            engine.is_some()
        });
        quiet = if COMPUTING.load(Ordering::SeqCst) == 0 { quiet + 1 } else { 0 };
        if quiet < QUIET_TICKS {
            thread::sleep(TICK);
        } else if COMPUTING.load(Ordering::SeqCst) == 0 {
            // Woken by the next that begins. One that began before this has left its token, and this returns at once.
            thread::park();
        }
    }
}

fn engines() -> MutexGuard<'static, Vec<EngineWeak>> {
    // Nothing under the lock can panic half way.
    ENGINES.lock().unwrap_or_else(PoisonError::into_inner)
}
