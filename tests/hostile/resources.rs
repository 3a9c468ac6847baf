//! Guests that take: time, stack, memory, tables, handles.

use super::case::Case;
use super::component::{describes, resumes, starts, steps, with};

const LOOP: &str = "(loop $for_ever (br $for_ever)) unreachable";

const RECURSION: &str = "(func $deeper (param i32) (result i32)
    (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (local.get 0)))";
const RECURSES: &str = "(drop (call $deeper (i32.const 0))) (call $completed)";

const BY_TABLE: &str = "(type $deeper (func (param i32) (result i32)))
    (table 1 1 funcref) (elem (i32.const 0) $by_table)
    (func $by_table (param i32) (result i32)
        (i32.add (call_indirect (type $deeper) (i32.add (local.get 0) (i32.const 1)) (i32.const 0)) (local.get 0)))";

/// A page at a time; a guest that is told that there is no more would go on.
const GROWS: &str = "(loop $more (drop (memory.grow (i32.const 1))) (br $more)) unreachable";
const GROWS_AT_ONCE: &str = "(drop (memory.grow (i32.const 20000))) (call $completed)";
/// What is within the limit, filled over and over again: one instruction of much work, which takes its fuel for each byte.
const FILLS: &str = "(drop (memory.grow (i32.const 900)))
    (loop $again (memory.fill (i32.const 131072) (i32.const 1) (i32.const 50000000)) (br $again)) unreachable";

const TABLE: &str = "(table $table 1 funcref)";
const GROWS_TABLE: &str =
    "(loop $more (drop (table.grow $table (ref.null func) (i32.const 100))) (br $more)) unreachable";
const TABLES: &str = "(table 20000 funcref) (table 20000 funcref) (table 20000 funcref) (table $t 20000 funcref)";

pub(crate) const CASES: &[Case] = &[
    Case::new("infinite loop", "loops-in-describe", describes(LOOP), "refused describe-trapped").says("(event_fuel)"),
    Case::new("infinite loop", "loops-in-start", starts(LOOP), "quarantined fuel-exhausted").says("(event_fuel)"),
    Case::new("infinite loop", "loops-in-resume", resumes(LOOP), "quarantined fuel-exhausted").says("(event_fuel)"),
    Case::new("infinite loop", "loops-in-step", steps(LOOP), "step fuel-exhausted").says("(step_fuel)"),
    Case::new(
        "infinite loop",
        "loops-when-instantiated",
        with("(func $init (loop $for_ever (br $for_ever))) (start $init)", starts("")),
        "refused describe-trapped",
    )
    .says("(event_fuel)"),
    Case::new("infinite recursion", "recurses-in-describe", with(RECURSION, describes(RECURSES)), "refused describe-trapped")
        .says("(stack_bytes)"),
    Case::new("infinite recursion", "recurses-in-start", with(RECURSION, starts(RECURSES)), "quarantined stack-exhausted")
        .says("(stack_bytes)")
        .slow(),
    Case::new("infinite recursion", "recurses-in-resume", with(RECURSION, resumes(RECURSES)), "quarantined stack-exhausted")
        .says("(stack_bytes)")
        .slow(),
    Case::new("infinite recursion", "recurses-in-step", with(RECURSION, steps(RECURSES)), "step stack-exhausted")
        .says("(stack_bytes)"),
    Case::new(
        "infinite recursion",
        "recurses-by-table",
        with(BY_TABLE, steps("(drop (call $by_table (i32.const 0))) (call $completed)")),
        "step stack-exhausted",
    )
    .says("(stack_bytes)"),
    Case::new("memory bomb", "memory-in-describe", describes(GROWS), "refused describe-trapped").says("67108864"),
    Case::new("memory bomb", "memory-stepwise-in-start", starts(GROWS), "quarantined memory-exceeded").says("67108864"),
    Case::new("memory bomb", "memory-stepwise-in-resume", resumes(GROWS), "quarantined memory-exceeded").says("67108864"),
    Case::new("memory bomb", "memory-stepwise-in-step", steps(GROWS), "step memory-exceeded").says("67108864"),
    Case::new("memory bomb", "memory-at-once", starts(GROWS_AT_ONCE), "quarantined memory-exceeded").says("67108864"),
    Case::new("memory bomb", "memory-at-once-in-step", steps(GROWS_AT_ONCE), "step memory-exceeded").says("67108864"),
    Case::new(
        "memory bomb",
        "memory-by-realloc",
        starts("(loop $more (drop (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1000000))) (br $more)) unreachable"),
        "quarantined memory-exceeded",
    )
    .says("67108864"),
    Case::new("long operation", "fills-memory-for-ever", starts(FILLS), "quarantined fuel-exhausted"),
    Case::new("long operation", "fills-memory-for-ever-in-step", steps(FILLS), "step fuel-exhausted"),
    Case::new("table bomb", "table-stepwise", with(TABLE, starts(GROWS_TABLE)), "quarantined table-exceeded").says("20000"),
    Case::new("table bomb", "table-stepwise-in-step", with(TABLE, steps(GROWS_TABLE)), "step table-exceeded").says("20000"),
    Case::new(
        "table bomb",
        "table-at-once",
        with(TABLE, starts("(drop (table.grow $table (ref.null func) (i32.const 100000))) (call $completed)")),
        "quarantined table-exceeded",
    )
    .says("20000"),
    Case::new("table bomb", "table-too-large-at-first", with("(table 20001 funcref)", starts("")), "refused component-too-complex")
        .says("20001"),
    Case::new("table bomb", "several-large-tables", with(TABLES, starts("")), "completed"),
    Case::new("handle leak", "handles-of-fields-in-step", steps("(loop $more (drop (call $fields)) (br $more)) unreachable"), "step too-many-resources"),
    Case::new(
        "handle leak",
        "handles-of-pollables-in-step",
        steps("(loop $more (drop (call $subscribe (i64.const 1000000000))) (br $more)) unreachable"),
        "step too-many-resources",
    ),
];
