//! What must not grow, counted and not timed: a machine that is slow today fails nothing here, and code that does more does.
//!
//! Allocations are counted by the allocator of this program, on this thread: the same program allocates as often each time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::ExitCode;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_host::bench::sample::{nap, run_of};
use windlass_host::imports::Time;
use windlass_host::model::{GuestLimits, Payload, RunInfo, Timestamp};
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
    let replayed = |events: u32| {
        let history: Vec<_> = (0..events).map(nap).collect();
        allocations(|| {
            let progress = replay(code, limits, (*run_of("naps")).clone(), &Payload::of(&events), history);
            assert!(matches!(progress, Ok(Progress::Waiting)), "{progress:?}");
        })
    };
    let (none, short, long) = (replayed(0), replayed(1_000), replayed(20_000));
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
    ]
}
