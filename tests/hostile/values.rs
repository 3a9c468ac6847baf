//! Guests that hand over what is not what it should be, and guests that crash.

use super::case::Case;
use super::component::{Guest, describes, resumes, starts, steps, with};

/// A function that crashes in its own way, in each export.
const UNREACHABLE: &str = "unreachable";

/// Ends with a document at 3000 of so many bytes.
macro_rules! ends_with {
    ($case:literal, $length:literal) => {
        concat!("(call $ends (i32.const ", $case, ") (i32.const 3000) (i32.const ", $length, "))")
    };
}

const fn data(items: &'static str, guest: Guest) -> Guest {
    with(items, guest)
}

const NOT_JSON: &str = "(data (i32.const 3000) \"{not json\")";
const NOT_UTF8: &str = "(data (i32.const 3000) \"\\\"\\ff\\fe\\\"\")";
const TWO_DOCUMENTS: &str = "(data (i32.const 3000) \"1 2\")";

pub(crate) const CASES: &[Case] = &[
    // Results that are none.
    Case::new("result that is no JSON", "completes-with-no-json", data(NOT_JSON, starts(ends_with!("2", "9"))), "quarantined invalid-result"),
    Case::new("result that is no JSON", "completes-with-two-documents", data(TWO_DOCUMENTS, starts(ends_with!("2", "3"))), "quarantined invalid-result"),
    Case::new("result that is no JSON", "completes-with-nothing", starts(ends_with!("2", "0")), "quarantined invalid-result"),
    Case::new("result that is no JSON", "continues-with-no-json", data(NOT_JSON, starts(ends_with!("4", "9"))), "quarantined invalid-result"),
    Case::new("result that is no JSON", "steps-with-no-json", data(NOT_JSON, steps(ends_with!("0", "9"))), "step invalid-payload"),
    Case::new("result that is no JSON", "fails-with-no-code", data(NOT_JSON, starts("(call $fails (i32.const 3000) (i32.const 9))")), "quarantined invalid-name"),
    Case::new("result that is no JSON", "fails-with-an-empty-code", starts("(call $fails (i32.const 3000) (i32.const 0))"), "quarantined invalid-name"),
    Case::new("result that is no JSON", "fails-as-it-may", starts("(call $fails (i32.const 264) (i32.const 1))"), "failed s"),
    Case::new("invalid UTF-8", "completes-with-no-utf8", data(NOT_UTF8, starts(ends_with!("2", "4"))), "quarantined invalid-result"),
    Case::new("invalid UTF-8", "asks-with-no-utf8", data(NOT_UTF8, starts("(drop (call $ask_step (i32.const 3000) (i32.const 4))) (call $waiting)")), "quarantined invalid-payload"),
    Case::new("invalid UTF-8", "names-with-no-utf8", data(NOT_UTF8, starts("(drop (call $signal_receive (i32.const 3000) (i32.const 4))) (call $waiting)")), "quarantined guest-trap"),
    Case::new("invalid UTF-8", "logs-no-utf8", data(NOT_UTF8, starts("(call $log_write (i32.const 1) (i32.const 3000) (i32.const 4)) (call $completed)")), "quarantined guest-trap"),
    Case::new("invalid UTF-8", "fails-with-no-utf8", data(NOT_UTF8, starts("(call $fails (i32.const 3000) (i32.const 4))")), "quarantined guest-trap"),
    // Documents that are hard to read.
    Case::new("deep JSON", "completes-deeply", starts("(call $ends (i32.const 2) (call $nested (i32.const 100000)) (i32.const 200000))"), "quarantined invalid-result"),
    Case::new("deep JSON", "completes-a-little-too-deeply", starts("(call $ends (i32.const 2) (call $nested (i32.const 129)) (i32.const 258))"), "quarantined invalid-result"),
    Case::new("deep JSON", "asks-deeply", starts("(drop (call $ask_step (call $nested (i32.const 100000)) (i32.const 200000))) (call $waiting)"), "quarantined invalid-payload"),
    Case::new("deep JSON", "publishes-deeply", starts("(call $publish (i32.const 264) (i32.const 1) (call $nested (i32.const 100000)) (i32.const 200000)) (call $completed)"), "quarantined invalid-payload"),
    Case::new("deep JSON", "steps-deeply", steps("(call $ends (i32.const 0) (call $nested (i32.const 500000)) (i32.const 1000000))"), "step invalid-payload"),
    // Long ones, in and out.
    Case::new("giant strings and lists", "asks-with-too-much", starts("(drop (call $ask_step (call $digits (i32.const 1048577)) (i32.const 1048577))) (call $waiting)"), "quarantined payload-too-large").says("1048576"),
    Case::new("giant strings and lists", "asks-with-much-too-much", starts("(drop (call $ask_step (call $digits (i32.const 3000000)) (i32.const 3000000))) (call $waiting)"), "quarantined hostcall-exceeded"),
    Case::new("giant strings and lists", "publishes-too-much", starts("(call $publish (i32.const 264) (i32.const 1) (call $digits (i32.const 1048577)) (i32.const 1048577)) (call $completed)"), "quarantined payload-too-large").says("1048576"),
    Case::new("giant strings and lists", "completes-with-too-much", starts("(call $ends (i32.const 2) (call $digits (i32.const 1048577)) (i32.const 1048577))"), "quarantined invalid-result").says("1048576"),
    Case::new("giant strings and lists", "steps-with-too-much", steps("(call $ends (i32.const 0) (call $digits (i32.const 1048577)) (i32.const 1048577))"), "step payload-too-large").says("1048576"),
    Case::new("giant strings and lists", "reports-too-much", steps("(call $heartbeat (call $digits (i32.const 1048577)) (i32.const 1048577)) (call $progress (i32.const 0))"), "step payload-too-large").says("65536"),
    Case::new("giant strings and lists", "names-that-are-long", starts("(drop (call $signal_receive (call $digits (i32.const 129)) (i32.const 129))) (call $waiting)"), "quarantined invalid-name").says("128"),
    Case::new("giant strings and lists", "claims-all-of-memory", starts("(call $ends (i32.const 2) (i32.const 0) (i32.const -1))"), "quarantined guest-trap"),
    Case::new("giant strings and lists", "asks-with-all-of-memory", starts("(drop (call $ask_step (i32.const 1) (i32.const -2))) (call $waiting)"), "quarantined guest-trap"),
    // Pointers and cases that are none.
    Case::new("malformed values", "returns-a-pointer-to-nowhere", starts("(i32.const -4)"), "quarantined guest-trap"),
    Case::new("malformed values", "returns-a-crooked-pointer", starts("(i32.const 1025)"), "quarantined guest-trap"),
    Case::new("malformed values", "returns-no-case", starts("(call $progress (i32.const 9))"), "quarantined guest-trap"),
    Case::new("malformed values", "describes-nowhere", describes("(i32.const -4)"), "refused describe-trapped"),
    Case::new("malformed values", "describes-nothing", describes("(i32.const 32768)"), "refused bad-manifest"),
    Case::new("malformed values", "steps-nowhere", steps("(i32.const -4)"), "step step-trap"),
    Case::new("malformed values", "logs-at-no-level", starts("(call $log_write (i32.const 77) (i32.const 256) (i32.const 4)) (call $completed)"), "quarantined guest-trap"),
    Case::new("malformed values", "pulls-into-nowhere", starts("(drop (call $signal_receive (i32.const 264) (i32.const 1))) (call $event_next (i32.const -8)) (call $waiting)"), "quarantined guest-trap"),
    // Crashes of every kind, in every export.
    Case::new("trap", "traps-in-describe", describes(UNREACHABLE), "refused describe-trapped"),
    Case::new("trap", "traps-in-start", starts(UNREACHABLE), "quarantined guest-panic"),
    Case::new("trap", "traps-in-resume", resumes(UNREACHABLE), "quarantined guest-panic"),
    Case::new("trap", "traps-in-step", steps(UNREACHABLE), "step step-trap"),
    Case::new("trap", "divides-by-zero", starts("(i32.div_u (i32.const 1) (i32.const 0))"), "quarantined guest-trap").says("divide by zero"),
    Case::new("trap", "divides-by-zero-in-step", steps("(i32.div_u (i32.const 1) (i32.const 0))"), "step step-trap").says("divide by zero"),
    Case::new("trap", "overflows", starts("(i32.div_s (i32.const -2147483648) (i32.const -1))"), "quarantined guest-trap").says("overflow"),
    Case::new("trap", "converts-not-a-number", starts("(i32.trunc_f64_s (f64.const nan))"), "quarantined guest-trap"),
    Case::new("trap", "reads-out-of-bounds", starts("(i32.load (i32.const -8))"), "quarantined guest-trap").says("out of bounds"),
    Case::new("trap", "writes-out-of-bounds", steps("(i32.store (i32.const -8) (i32.const 1)) (call $completed)"), "step step-trap").says("out of bounds"),
    Case::new("trap", "calls-nothing", with("(type $t (func)) (table 1 funcref)", starts("(call_indirect (type $t) (i32.const 0)) (call $completed)")), "quarantined guest-trap"),
    Case::new("trap", "calls-beyond-the-table", with("(type $t (func)) (table 1 funcref)", starts("(call_indirect (type $t) (i32.const 99)) (call $completed)")), "quarantined guest-trap"),
    Case::new(
        "trap",
        "calls-another-type",
        with("(type $t (func)) (table 1 funcref) (elem (i32.const 0) $waiting)", starts("(call_indirect (type $t) (i32.const 0)) (call $completed)")),
        "quarantined guest-trap",
    ),
    Case::new("trap", "traps-when-instantiated", with("(func $init unreachable) (start $init)", starts("")), "refused describe-trapped"),
    // What the host knows to be impossible.
    Case::new("impossible arguments", "sleeps-for-ages", starts("(drop (call $sleep (i64.const -1))) (call $waiting)"), "quarantined duration-too-long"),
    Case::new(
        "impossible arguments",
        "retries-without-end",
        starts(
            "(drop (call $step_run (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4)
                (i32.const 1) (i32.const 0) (i64.const 0) (f64.const nan) (i64.const -1) (f64.const inf)
                (i32.const 0) (i64.const 0) (i32.const 0) (i64.const 0))) (call $waiting)",
        ),
        "quarantined invalid-retry-policy",
    ),
    Case::new("impossible arguments", "asks-for-a-step-without-a-name", starts(
        "(drop (call $step_run (i32.const 264) (i32.const 0) (i32.const 256) (i32.const 4)
            (i32.const 0) (i32.const 0) (i64.const 0) (f64.const 0) (i64.const 0) (f64.const 0)
            (i32.const 0) (i64.const 0) (i32.const 0) (i64.const 0))) (call $waiting)"), "quarantined invalid-name"),
    Case::new("impossible arguments", "sends-to-no-run", starts(
        "(drop (call $signal_send (i32.const 264) (i32.const 1) (i32.const 264) (i32.const 1) (i32.const 256) (i32.const 4))) (call $waiting)"), "quarantined invalid-run-id"),
    // Numbers that it was not given.
    Case::new("forged call ids", "cancels-what-it-never-asked", starts(
        "(call $call_cancel (i32.const -1)) (call $call_cancel (i32.const 0)) (call $call_cancel (i32.const 77)) (call $completed)"), "completed"),
    Case::new("forged call ids", "answers-nobody", starts(
        "(call $update_answer (i32.const 5) (i32.const 0) (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (call $completed)"), "quarantined no-such-update"),
    Case::new("forged call ids", "answers-a-step", starts(
        "(local $id i32) (local.set $id (call $ask_step (i32.const 256) (i32.const 4)))
        (call $update_answer (local.get $id) (i32.const 0) (i32.const 256) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (call $completed)"), "quarantined no-such-update"),
    Case::new("forged call ids", "asks-for-a-child-that-is-none", starts(
        "(call $child_run_id (i32.const -1) (i32.const 768)) (call $completed)"), "completed"),
];
