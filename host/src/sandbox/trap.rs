//! Why a guest stopped without a result.

use std::{fmt, io};

use serde::{Deserialize, Serialize};
use wasmtime::component::ResourceTableError;
use wasmtime::{PoolConcurrencyLimitError, WasmBacktrace};

/// A guest broke a rule that the host keeps. Imports and limits return it; it ends the guest.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// A stable word for the rule.
    pub code: &'static str,
    /// What the guest did, and what it may do.
    pub message: String,
}

impl Violation {
    /// Of the rule `code`.
    pub fn new(code: &'static str, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }
}

/// A crash of the guest: its own fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Trap {
    /// A stable word.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Whether the same history leads to the same trap. A trap that depends on the machine or on the time may go away.
    pub deterministic: bool,
    /// The guest's functions, innermost first, where the component carries names. At most 20.
    pub backtrace: Vec<String>,
}

impl Trap {
    /// A rule that was broken between calls of the guest.
    pub fn violation(violation: &Violation) -> Self {
        let Violation { code, message } = violation.clone();
        Self { code: code.to_owned(), message, deterministic: true, backtrace: Vec::new() }
    }
}

/// How a guest stopped without a result.
#[derive(Debug, thiserror::Error)]
pub enum Crash {
    /// It was the guest.
    #[error(transparent)]
    Trap(Trap),
    /// It was the host: no free slot, no memory. Trying again may help.
    #[error("the host could not run the guest: {0}")]
    Host(String),
}

/// Longest name of a function in a backtrace, in characters: names come from the guest.
const FRAME_LENGTH_MAX: usize = 120;

/// What a guest could compute before it was stopped: the number of a limit.
#[derive(Clone, Copy, Debug)]
pub enum Fuel {
    /// Of a workflow, after one event.
    Event(u64),
    /// Of an attempt of a step.
    Step(u64),
}

impl Fuel {
    fn used_up(self) -> String {
        let (limit, number) = match self {
            Self::Event(number) => ("event_fuel", number),
            Self::Step(number) => ("step_fuel", number),
        };
        format!("the guest computed for too long: {number} instructions, about, are the most ({limit})")
    }
}

impl Crash {
    /// Tell whose fault an error of wasmtime is. `fuel`: what the guest had, for the message if it is used up.
    pub fn of(error: &wasmtime::Error, fuel: Fuel) -> Self {
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Self::Host(error.root_cause().to_string());
        }
        let Some((code, message, deterministic)) = explain(error, fuel) else {
            return Self::Host(format!("{error:#}"));
        };
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
        Self::Trap(Trap { code: code.to_owned(), message, deterministic, backtrace })
    }
}

fn explain(error: &wasmtime::Error, fuel: Fuel) -> Option<(&'static str, String, bool)> {
    if let Some(violation) = error.downcast_ref::<Violation>() {
        return Some((violation.code, violation.message.clone(), violation.code != TIME_EXCEEDED));
    }
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        return Some(explain_trap(*trap, fuel));
    }
    if let Some(table) = error.downcast_ref::<ResourceTableError>() {
        return Some(("too-many-resources", format!("a handle of the guest: {table} (resources)"), true));
    }
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return Some(("guest-exit", format!("the guest called exit({}); it should return", exit.0), true));
    }
    // The machine: no memory to map, no stack to be had.
    if error.downcast_ref::<io::Error>().is_some() || error.downcast_ref::<rustix::io::Errno>().is_some() {
        return None;
    }
    let text = error.root_cause().to_string();
    // These have no type of their own in wasmtime.
    let hostcall = text.contains("too much data") || text.contains("hostcall fuel") || text.contains("fuel allocated");
    if hostcall {
        let message = format!("the guest handed too much to one call of the host: {text} (hostcall_bytes)");
        return Some(("hostcall-exceeded", message, true));
    }
    if text.contains("count too high") {
        let message = format!("the guest has more parts than it may: {text} ({})", limit_of_parts(&text));
        return Some(("instance-too-large", message, true));
    }
    // Nor has what a guest hands over that is no value of its type: a text that is no UTF-8, a pointer to nowhere, a case that
    // there is not. The host has no part in it: tried again, it would be the same, for ever.
    Some(("guest-trap", format!("what the guest handed over is no value: {text}"), true))
}

/// The limit that wasmtime has counted against.
fn limit_of_parts(text: &str) -> &'static str {
    if text.contains("memory count") {
        "memories"
    } else if text.contains("table count") {
        "tables"
    } else {
        "instances"
    }
}

/// The code of the one violation that depends on the time.
pub(super) const TIME_EXCEEDED: &str = "time-exceeded";

fn explain_trap(trap: wasmtime::Trap, fuel: Fuel) -> (&'static str, String, bool) {
    use wasmtime::Trap as T;
    let (code, message, deterministic) = match trap {
        T::OutOfFuel => return ("fuel-exhausted", fuel.used_up(), true),
        // How deep a stack can get depends on the compiler and on the machine.
        T::StackOverflow => {
            ("stack-exhausted", "the guest's calls are nested too deeply: its stack is full (stack_bytes)", false)
        }
        T::UnreachableCodeReached => ("guest-panic", "the guest panicked; its log has the message", true),
        T::Interrupt => (TIME_EXCEEDED, "the guest was stopped by the clock (event_time_ms)", false),
        T::AllocationTooLarge => {
            ("memory-exceeded", "the guest asked for too much memory at once (memory_bytes)", true)
        }
        other => return ("guest-trap", other.to_string(), true),
    };
    (code, message.to_owned(), deterministic)
}

fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let name = |frame: &wasmtime::FrameInfo| {
        let name = frame.func_name().map_or_else(
            || format!("function {}", frame.func_index()),
            |name| format!("{:#}", rustc_demangle::demangle(name)),
        );
        name.chars().take(FRAME_LENGTH_MAX).flat_map(char::escape_default).collect()
    };
    backtrace.frames().iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stopped_at_a_limit_hears_which_it_was() {
        let too_many =
            |part: &str| wasmtime::Error::msg(format!("resource limit exceeded: {part} count too high at 5"));
        let trapped = wasmtime::Error::new::<wasmtime::Trap>;
        let (event, step) = (Fuel::Event(7), Fuel::Step(8));
        for (error, fuel, code, says) in [
            (
                trapped(wasmtime::Trap::OutOfFuel),
                event,
                "fuel-exhausted",
                "7 instructions, about, are the most (event_fuel)",
            ),
            (
                trapped(wasmtime::Trap::OutOfFuel),
                step,
                "fuel-exhausted",
                "8 instructions, about, are the most (step_fuel)",
            ),
            (trapped(wasmtime::Trap::StackOverflow), step, "stack-exhausted", "(stack_bytes)"),
            (trapped(wasmtime::Trap::Interrupt), event, "time-exceeded", "(event_time_ms)"),
            (too_many("instance"), event, "instance-too-large", "5 (instances)"),
            (too_many("memory"), event, "instance-too-large", "5 (memories)"),
            (too_many("table"), event, "instance-too-large", "5 (tables)"),
        ] {
            let Crash::Trap(trap) = Crash::of(&error, fuel) else { panic!("{code} is the guest's") };
            assert_eq!(trap.code, code);
            assert!(trap.message.contains(says), "{}", trap.message);
        }
    }
}
