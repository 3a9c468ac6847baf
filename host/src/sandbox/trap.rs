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

impl Crash {
    /// Tell whose fault an error of wasmtime is.
    pub fn of(error: &wasmtime::Error) -> Self {
        if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
            return Self::Host(error.root_cause().to_string());
        }
        let Some((code, message, deterministic)) = explain(error) else {
            return Self::Host(format!("{error:#}"));
        };
        let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
        Self::Trap(Trap { code: code.to_owned(), message, deterministic, backtrace })
    }
}

fn explain(error: &wasmtime::Error) -> Option<(&'static str, String, bool)> {
    if let Some(violation) = error.downcast_ref::<Violation>() {
        return Some((violation.code, violation.message.clone(), violation.code != TIME_EXCEEDED));
    }
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        return Some(explain_trap(*trap));
    }
    if let Some(table) = error.downcast_ref::<ResourceTableError>() {
        return Some(("too-many-resources", format!("a handle of the guest: {table}"), true));
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
        return Some(("hostcall-exceeded", format!("the guest handed too much to one call of the host: {text}"), true));
    }
    if text.contains("count too high") {
        return Some(("instance-too-large", format!("the guest has more parts than it may: {text}"), true));
    }
    // Nor has what a guest hands over that is no value of its type: a text that is no UTF-8, a pointer to nowhere, a case that
    // there is not. The host has no part in it: tried again, it would be the same, for ever.
    Some(("guest-trap", format!("what the guest handed over is no value: {text}"), true))
}

/// The code of the one violation that depends on the time.
pub(super) const TIME_EXCEEDED: &str = "time-exceeded";

fn explain_trap(trap: wasmtime::Trap) -> (&'static str, String, bool) {
    use wasmtime::Trap as T;
    let (code, message, deterministic) = match trap {
        T::OutOfFuel => ("fuel-exhausted", "the guest computed for too long: its fuel is used up", true),
        // How deep a stack can get depends on the compiler and on the machine.
        T::StackOverflow => ("stack-exhausted", "the guest's calls are nested too deeply", false),
        T::UnreachableCodeReached => ("guest-panic", "the guest panicked; its log has the message", true),
        T::Interrupt => (TIME_EXCEEDED, "the guest was stopped by the clock", false),
        T::AllocationTooLarge => ("memory-exceeded", "the guest asked for too much memory at once", true),
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
