//! What must not grow, counted, or compared with something else in the same run: a machine that is slow today fails nothing here, and code
//! that does more does.
//!
//! Allocations are counted by the allocator of this program, on this thread: the same program allocates as often each time. Times are
//! of this thread on a processor, whatever else is running.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio_util::sync::CancellationToken;
use windlass_host::bench::sample::{nap, run_of};
use windlass_host::imports::Time;
use windlass_host::model::{Event, GuestLimits, Payload, RunInfo, Timestamp};
use windlass_host::run::{Code, Guest, Progress, build_sandbox, replay};
use windlass_host::sandbox::{Compiler, Limits};

mod harness;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "the interface of allocators")]
// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending counts nothing.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

/// Processor time that `work` takes: the least of several times.
fn processor_time(work: impl Fn()) -> Duration {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a time");
    let took = |_| {
        let begun = now();
        work();
        now() - begun
    };
    (0..7).map(took).min().expect("several")
}

struct Budget {
    what: &'static str,
    most: f64,
    counted: f64,
}

fn main() -> ExitCode {
    // Nextest and the like ask what there is.
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let sandbox = build_sandbox(Limits::default(), Compiler::InProcess, None).expect("a sandbox");
    let code = Code::new(&sandbox, &harness::guests::guest_bytes("bench")).expect("accepted");
    let budgets = count(&code, &Arc::new(sandbox.limits.guest.clone()));
    let mut is_kept = true;
    for Budget { what, most, counted } in &budgets {
        let verdict = if counted <= most { "ok" } else { "TOO MANY" };
        is_kept &= counted <= most;
        eprintln!("{verdict:8} {counted:8.2} of {most:8.2} {what}");
    }
    if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn count(code: &Code, limits: &Arc<GuestLimits>) -> Vec<Budget> {
    let time: Time = Arc::new(|| Timestamp::from_micros(1));
    let guest = |info: Arc<RunInfo>| Guest::new(code, limits.clone(), CancellationToken::new(), info, time.clone());
    // The first one of its kind prepares what all others use.
    drop(guest(run_of("steps")));
    let instantiate = allocations(|| drop(guest(run_of("steps"))));
    let replay = |events: u32, history: Vec<Event>| {
        let progress = replay(code, limits, (*run_of("naps")).clone(), &Payload::of(&events), history);
        assert!(matches!(progress, Ok(Progress::Waiting)), "{progress:?}");
    };
    let replayed = |events: u32| {
        let history: Vec<_> = (0..events).map(nap).collect();
        allocations(|| replay(events, history))
    };
    let timed = |events: u32| processor_time(|| replay(events, (0..events).map(nap).collect()));
    let (none, short, long) = (replayed(0), replayed(1_000), replayed(20_000));
    let (no_time, short_time, long_time) = (timed(0), timed(2_000), timed(20_000));
    let (time, later_time) = ((short_time - no_time) / 2_000, (long_time - short_time) / 18_000);
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let per = |more: u64, less: u64, events: u32| (more - less) as f64 / f64::from(events);
    let (per_event, per_later_event) = (per(short, none, 1_000), per(long, short, 19_000));
    #[expect(clippy::cast_precision_loss, reason = "counts are small")]
    let instantiate = instantiate as f64;
    vec![
        Budget { what: "allocations for an instance of a workflow", most: 70.0, counted: instantiate },
        Budget { what: "allocations for each replayed event", most: 1.5, counted: per_event },
        Budget {
            what: "times as many for an event late in a history",
            most: 1.1,
            counted: per_later_event / per_event,
        },
        Budget {
            what: "times the processor time for an event late in a history",
            most: 1.5,
            counted: later_time.as_secs_f64() / time.as_secs_f64(),
        },
        Budget {
            what: "times the processor time of an instance for a hundred events",
            most: 8.0,
            counted: time.as_secs_f64() * 100.0 / no_time.as_secs_f64(),
        },
    ]
}
