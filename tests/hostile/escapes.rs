//! Guests that reach for what they were not given.

use super::case::Case;
use super::component::{describes, starts, steps};

/// Asks for a list, and crashes if there is anything in it.
macro_rules! empty {
    ($call:literal) => {
        concat!(
            "(call $",
            $call,
            " (i32.const 768)) (if (i32.load (i32.const 772)) (then unreachable)) (call $completed)"
        )
    };
}

/// The same in a step.
macro_rules! empty_in_step {
    ($call:literal) => {
        concat!(
            "(call $",
            $call,
            " (i32.const 768)) (if (i32.load (i32.const 772)) (then unreachable)) (call $progress (i32.const 0))"
        )
    };
}

/// Reads a clock 10,000 times, and crashes if it has moved.
macro_rules! stands_still {
    ($clock:literal) => {
        concat!(
            "(local $left i32) (local $first i64) (local.set $first (call $",
            $clock,
            ")) (local.set $left (i32.const 10000))
            (loop $more
                (if (i64.ne (local.get $first) (call $",
            $clock,
            ")) (then unreachable))
                (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (call $completed)"
        )
    };
}

pub(crate) const CASES: &[Case] = &[
    // A workflow touches the outside.
    Case::new("outside in a workflow", "workflow-makes-a-request", starts("(drop (call $fields)) (call $completed)"), "quarantined not-in-this-role").says("wasi:http"),
    Case::new("outside in a workflow", "workflow-opens-a-socket", starts("(drop (call $network)) (call $completed)"), "quarantined not-in-this-role").says("wasi:sockets"),
    Case::new("outside in a workflow", "workflow-waits-for-a-clock", starts("(drop (call $subscribe (i64.const 1))) (call $completed)"), "quarantined blocked"),
    Case::new("outside in a workflow", "workflow-gives-signs-of-life", starts("(call $heartbeat (i32.const 256) (i32.const 4)) (call $completed)"), "quarantined not-in-this-role"),
    Case::new("sockets in a step", "step-opens-a-socket", steps("(drop (call $network)) (call $completed)"), "step not-in-this-role").says("wasi:sockets"),
    // A step does what only workflows may.
    Case::new("workflow calls in a step", "step-asks-for-a-step", steps("(drop (call $ask_step (i32.const 256) (i32.const 4))) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-sleeps", steps("(drop (call $sleep (i64.const 1))) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-receives", steps("(drop (call $signal_receive (i32.const 264) (i32.const 1))) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-sends", steps(
        "(drop (call $signal_send (i32.const 264) (i32.const 1) (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4))) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-starts-a-child", steps(
        "(drop (call $child_start (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 0))) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-publishes", steps("(call $publish (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4)) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-tags", steps("(call $run_tag (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4)) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-pulls-events", steps("(call $event_next (i32.const 512)) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-draws-the-run-s-numbers", steps("(call $random_bytes (i32.const 8) (i32.const 768)) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-answers-an-update", steps(
        "(call $update_answer (i32.const 5) (i32.const 0) (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (call $completed)"), "step not-in-this-role"),
    Case::new("workflow calls in a step", "step-cancels", steps("(call $call_cancel (i32.const 0)) (call $completed)"), "step not-in-this-role"),
    // `describe` belongs to no run.
    Case::new("run in describe", "describe-asks-who-runs", describes("(call $run_current (i32.const 768)) (i32.const 4096)"), "refused describe-trapped").says("no run"),
    Case::new("run in describe", "describe-asks-for-a-step", describes("(drop (call $ask_step (i32.const 256) (i32.const 4))) (i32.const 4096)"), "refused describe-trapped").says("no run"),
    Case::new("run in describe", "describe-sleeps", describes("(drop (call $sleep (i64.const 1))) (i32.const 4096)"), "refused describe-trapped").says("no run"),
    Case::new("run in describe", "describe-publishes", describes("(call $publish (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4)) (i32.const 4096)"), "refused describe-trapped").says("no run"),
    Case::new("run in describe", "describe-tags", describes("(call $run_tag (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4)) (i32.const 4096)"), "refused describe-trapped").says("no run"),
    Case::new("run in describe", "describe-exits", describes("(call $exit (i32.const 0)) (i32.const 4096)"), "refused describe-trapped").says("exit"),
    // Nothing of the host is there to be read.
    Case::new("the host's environment", "reads-the-environment", starts(empty!("environment")), "completed"),
    Case::new("the host's environment", "reads-the-environment-in-a-step", steps(empty_in_step!("environment")), "completed"),
    Case::new("the host's arguments", "reads-the-arguments", starts(empty!("arguments")), "completed"),
    Case::new("the host's arguments", "reads-the-arguments-in-a-step", steps(empty_in_step!("arguments")), "completed"),
    Case::new("the host's files", "looks-for-folders", starts(empty!("directories")), "completed"),
    Case::new("the host's files", "looks-for-folders-in-a-step", steps(empty_in_step!("directories")), "completed"),
    // Nothing to measure time with.
    Case::new("measuring time", "measures-with-the-run-s-clock", starts(stands_still!("clock_now")), "completed"),
    Case::new("measuring time", "measures-with-the-monotonic-clock", starts(stands_still!("monotonic")), "completed"),
    Case::new("exit", "exits-in-start", starts("(call $exit (i32.const 1)) (call $completed)"), "quarantined guest-exit"),
    Case::new("exit", "exits-well-in-start", starts("(call $exit (i32.const 0)) (call $completed)"), "quarantined guest-exit"),
    Case::new("exit", "exits-in-step", steps("(call $exit (i32.const 1)) (call $completed)"), "step guest-exit"),
];
