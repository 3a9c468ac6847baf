//! Guests that ask, and ask, and ask.

use super::case::Case;
use super::component::{resumes, starts, steps, with};

/// Asks for something over and over again, without an end.
macro_rules! floods {
    ($call:literal) => {
        concat!("(loop $again ", $call, " (br $again)) unreachable")
    };
}

/// Asks and takes it back, over and over again: nothing is open, and nothing may pile up.
macro_rules! takes_back {
    ($call:literal) => {
        concat!("(loop $again (call $call_cancel ", $call, ") (br $again)) unreachable")
    };
}

/// Calls of the host take no fuel of their own, and on a busy machine the clock may be faster.
const USED_UP: &str = "quarantined fuel-exhausted | quarantined time-exceeded";

/// A document of 200,000 bytes in each call.
const DOCUMENT: &str = "(global $document (mut i32) (i32.const 0)) (func $wide (result i32)
    (if (i32.eqz (global.get $document)) (then (global.set $document (call $digits (i32.const 200000)))))
    (global.get $document))";

const TIMERS: &str = "(local $left i32) (local.set $left (i32.const 100))
    (loop $more (drop (call $sleep (i64.const 0))) (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $waiting)";

const NEXT_TIMER: &str = "(call $event_next (i32.const 512)) (drop (call $sleep (i64.const 0))) (call $waiting)";

pub(crate) const CASES: &[Case] = &[
    Case::new("flood of calls", "floods-steps", starts(floods!("(drop (call $ask_step (i32.const 256) (i32.const 4)))")), "quarantined too-many-calls").says("10000"),
    Case::new("flood of calls", "floods-receives", starts(floods!("(drop (call $signal_receive (i32.const 264) (i32.const 1)))")), "quarantined too-many-calls").says("10000"),
    Case::new("flood of calls", "floods-updates", starts(floods!("(drop (call $update_receive (i32.const 264) (i32.const 1)))")), "quarantined too-many-calls").says("10000"),
    Case::new("flood of calls", "floods-when-resumed", resumes(floods!("(drop (call $signal_receive (i32.const 264) (i32.const 1)))")), "quarantined too-many-calls").says("10000"),
    Case::new("flood of timers", "floods-timers", starts(floods!("(drop (call $sleep (i64.const 1)))")), "quarantined too-many-timers").says("200"),
    Case::new("flood of timers", "floods-timers-when-resumed", resumes(floods!("(drop (call $sleep (i64.const 1)))")), "quarantined too-many-timers").says("200"),
    Case::new(
        "flood of children",
        "floods-children",
        starts(floods!("(drop (call $child_start (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 0)))")),
        "quarantined too-many-children",
    )
    .says("200"),
    Case::new(
        "flood of children",
        "floods-children-and-takes-them-back",
        starts(takes_back!("(call $child_start (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 0))")),
        "quarantined too-many-children",
    )
    .says("300"),
    Case::new(
        "flood of children",
        "breeds-without-end",
        // Here it is cut off where nobody has such a workflow; `breeding.rs` has one that is not.
        starts("(drop (call $child_start (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 1) (i32.const 0))) (call $waiting)"),
        "step unknown-workflow",
    ),
    Case::new("ask and cancel", "takes-back-steps", starts(takes_back!("(call $ask_step (i32.const 256) (i32.const 4))")), USED_UP),
    Case::new("ask and cancel", "takes-back-timers", starts(takes_back!("(call $sleep (i64.const 1))")), USED_UP),
    Case::new("ask and cancel", "takes-back-receives", starts(takes_back!("(call $signal_receive (i32.const 264) (i32.const 1))")), USED_UP),
    Case::new(
        "ask and cancel",
        "takes-back-thousands-that-wait",
        super::component::starts_and_resumes(
            "(local $left i32) (local.set $left (i32.const 9000))
            (loop $more (drop (call $signal_receive (i32.const 264) (i32.const 1)))
                (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (drop (call $ask_step (i32.const 256) (i32.const 4))) (call $waiting)",
            "(local $left i32) (call $event_next (i32.const 512)) (local.set $left (i32.const 9000))
            (loop $more (call $call_cancel (i32.sub (local.get $left) (i32.const 1)))
                (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (call $completed)",
        ),
        "completed",
    ),
    Case::new(
        "ask and cancel",
        "takes-back-wide-steps",
        with(DOCUMENT, starts(takes_back!("(call $ask_step (call $wide) (i32.const 200000))"))),
        USED_UP,
    )
    .slow(),
    Case::new("wide calls", "holds-wide-steps", with(DOCUMENT, starts(floods!("(drop (call $ask_step (call $wide) (i32.const 200000)))"))), "quarantined open-calls-too-large").says("16777216"),
    Case::new(
        "wide calls",
        "holds-wide-signals",
        with(DOCUMENT, starts(
            "(local $id i32) (local.set $id (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 64)))
            (call $child_run_id (i32.const 0) (i32.const 768))
            (loop $again (drop (call $signal_send (i32.load (i32.const 768)) (i32.load (i32.const 772))
                (i32.const 264) (i32.const 1) (call $wide) (i32.const 200000))) (br $again)) unreachable",
        )),
        "quarantined open-calls-too-large",
    )
    .says("16777216"),
    Case::new("flood of events", "floods-events", flood_of_events(), "quarantined history-too-long").says("500 events"),
    Case::new("flood of random", "floods-random", starts(floods!("(call $random_bytes (i32.const 65536) (i32.const 768)) (global.set $heap (i32.const 65536))")), USED_UP).slow(),
    Case::new("flood of random", "draws-too-much", starts("(call $random_bytes (i32.const 65537) (i32.const 768)) (call $completed)"), "quarantined random-too-long").says("65536"),
    Case::new("flood of random", "draws-all-there-is", starts("(call $random_bytes (i32.const -1) (i32.const 768)) (call $completed)"), "quarantined random-too-long").says("65536"),
    Case::new("flood of random", "draws-too-much-of-wasi", starts("(call $wasi_random (i64.const 1000000000000) (i32.const 768)) (call $completed)"), "quarantined guest-trap"),
    Case::new("flood of clock", "floods-clock", starts(floods!("(drop (call $clock_now))")), USED_UP),
    Case::new("flood of log", "floods-log", starts(
        "(local $left i32) (local.set $left (i32.const 20000))
        (loop $more (call $log_write (i32.const 1) (i32.const 256) (i32.const 4))
            (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $completed)",
    ), "completed"),
    Case::new("flood of log", "floods-log-without-end", starts(floods!("(call $log_write (i32.const 1) (i32.const 256) (i32.const 4))")), USED_UP),
    Case::new("flood of log", "logs-wide-lines", with(DOCUMENT, starts(
        "(local $left i32) (local.set $left (i32.const 1000))
        (loop $more (call $log_write (i32.const 3) (call $wide) (i32.const 200000))
            (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $completed)",
    )), "completed"),
    Case::new("flood of log", "logs-wide-lines-in-step", with(DOCUMENT, steps(
        "(local $left i32) (local.set $left (i32.const 100))
        (loop $more (call $log_write (i32.const 3) (call $wide) (i32.const 200000))
            (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $progress (i32.const 0))",
    )), "completed"),
    Case::new("flood of state", "publishes-many-keys", starts(
        "(local $number i32)
        (loop $more (call $publish (call $key (local.get $number)) (i32.const 5) (i32.const 256) (i32.const 4))
            (local.set $number (i32.add (local.get $number) (i32.const 1))) (br $more))
        unreachable",
    ), "quarantined too-many-keys").says("64"),
    Case::new("flood of state", "publishes-wide-values", with(DOCUMENT, starts(
        "(local $number i32)
        (loop $more (call $publish (call $key (local.get $number)) (i32.const 5) (call $wide) (i32.const 200000))
            (local.set $number (i32.add (local.get $number) (i32.const 1))) (br $more))
        unreachable",
    )), "quarantined published-too-large").says("4194304"),
    Case::new("flood of state", "publishes-one-key-for-ever", starts(floods!("(call $publish (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4))")), USED_UP),
    Case::new("flood of tags", "tags-with-many-keys", starts(
        "(local $number i32)
        (loop $more (call $run_tag (call $key (local.get $number)) (i32.const 5) (i32.const 256) (i32.const 4))
            (local.set $number (i32.add (local.get $number) (i32.const 1))) (br $more))
        unreachable",
    ), "quarantined too-many-tags").says("16"),
    Case::new("flood of tags", "tags-one-key-for-ever", starts(floods!("(call $run_tag (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4))")), USED_UP),
    Case::new("flood of heartbeats", "reports-for-ever", steps(floods!("(call $heartbeat (i32.const 256) (i32.const 4))")), "step timeout").says("1s").slow(),
    Case::new("flood of heartbeats", "reports-often", steps(
        "(local $left i32) (local.set $left (i32.const 10000))
        (loop $more (call $heartbeat (i32.const 256) (i32.const 4))
            (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
        (call $progress (i32.const 0))",
    ), "completed"),
    Case::new("yields without end", "yields-without-end", super::component::starts_and_resumes("(call $yielded)", "(call $yielded)"), "quarantined yields-too-often").says("1000"),
    Case::new("yields without end", "never-pulls", super::component::starts_and_resumes(
        "(drop (call $sleep (i64.const 0))) (call $waiting)", "(call $waiting)",
    ), "quarantined not-pulled"),
    Case::new("yields without end", "waits-for-nothing", starts("(call $waiting)"), "quarantined stalled"),
    Case::new("continues without end", "continues-without-end", starts("(call $again)"), "quarantined continues-too-often").says("101"),
];

const fn flood_of_events() -> super::component::Guest {
    super::component::starts_and_resumes(TIMERS, NEXT_TIMER)
}
