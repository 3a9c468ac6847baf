//! Components that do one bad thing each, made from a few lines of WebAssembly text: no toolchain, no SDK, and nothing that would
//! keep them from breaking a rule.

use std::fmt::Write as _;
use std::sync::LazyLock;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use crate::harness::guests::repository;

/// What a guest does in each of its exports, as instructions in text. All that is empty does what an honest guest would do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guest {
    pub(crate) describe: &'static str,
    pub(crate) start: &'static str,
    pub(crate) resume: &'static str,
    pub(crate) step: &'static str,
    /// More functions, tables, globals.
    pub(crate) items: &'static str,
}

/// Does nothing, and completes.
const HONEST: Guest = Guest { describe: "", start: "", resume: "", step: "", items: "" };

/// Bad when it is asked what it holds.
pub(crate) const fn describes(describe: &'static str) -> Guest {
    Guest { describe, ..HONEST }
}

/// Bad when it starts.
pub(crate) const fn starts(start: &'static str) -> Guest {
    Guest { start, ..HONEST }
}

/// Waits for a step, and is bad when it hears of it.
pub(crate) const fn resumes(resume: &'static str) -> Guest {
    Guest { start: ASKS, resume, ..HONEST }
}

/// Bad in its step. Its workflow asks for the step, and completes.
pub(crate) const fn steps(step: &'static str) -> Guest {
    Guest { start: ASKS, step, ..HONEST }
}

/// Bad in both.
pub(crate) const fn starts_and_resumes(start: &'static str, resume: &'static str) -> Guest {
    Guest { start, resume, ..HONEST }
}

/// With something else in its module.
pub(crate) const fn with(items: &'static str, guest: Guest) -> Guest {
    Guest { items, ..guest }
}

const ASKS: &str = "(drop (call $ask_step (i32.const 256) (i32.const 4))) (call $waiting)";

/// Imports by the name under which they are called. Only those that are called are imported.
const IMPORTS: &[(&str, &str, &str, &str)] = &[
    ("call_cancel", "windlass:workflow/call@0.1.0", "cancel", "(param i32)"),
    ("child_start", "windlass:workflow/child@0.1.0", "start", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
    ("child_run_id", "windlass:workflow/child@0.1.0", "run-id", "(param i32 i32)"),
    ("clock_now", "windlass:workflow/clock@0.1.0", "now", "(result i64)"),
    ("event_next", "windlass:workflow/event@0.1.0", "next", "(param i32)"),
    ("heartbeat", "windlass:workflow/heartbeat@0.1.0", "report", "(param i32 i32)"),
    ("log_write", "windlass:workflow/log@0.1.0", "write", "(param i32 i32 i32)"),
    ("random_bytes", "windlass:workflow/random@0.1.0", "bytes", "(param i32 i32)"),
    ("run_tag", "windlass:workflow/run@0.1.0", "tag", "(param i32 i32 i32 i32)"),
    ("run_current", "windlass:workflow/run@0.1.0", "current", "(param i32)"),
    ("signal_receive", "windlass:workflow/signal@0.1.0", "receive", "(param i32 i32) (result i32)"),
    ("signal_send", "windlass:workflow/signal@0.1.0", "send", "(param i32 i32 i32 i32 i32 i32) (result i32)"),
    ("publish", "windlass:workflow/state@0.1.0", "publish", "(param i32 i32 i32 i32)"),
    (
        "step_run",
        "windlass:workflow/step@0.1.0",
        "run",
        "(param i32 i32 i32 i32 i32 i32 i64 f64 i64 f64 i32 i64 i32 i64) (result i32)",
    ),
    ("sleep", "windlass:workflow/timer@0.1.0", "sleep", "(param i64) (result i32)"),
    ("update_receive", "windlass:workflow/update@0.1.0", "receive", "(param i32 i32) (result i32)"),
    (
        "update_answer",
        "windlass:workflow/update@0.1.0",
        "answer",
        "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)",
    ),
    ("exit", "wasi:cli/exit@0.2.6", "exit", "(param i32)"),
    ("environment", "wasi:cli/environment@0.2.6", "get-environment", "(param i32)"),
    ("arguments", "wasi:cli/environment@0.2.6", "get-arguments", "(param i32)"),
    ("directories", "wasi:filesystem/preopens@0.2.6", "get-directories", "(param i32)"),
    ("monotonic", "wasi:clocks/monotonic-clock@0.2.6", "now", "(result i64)"),
    ("subscribe", "wasi:clocks/monotonic-clock@0.2.6", "subscribe-duration", "(param i64) (result i32)"),
    ("fields", "wasi:http/types@0.2.6", "[constructor]fields", "(result i32)"),
    ("network", "wasi:sockets/instance-network@0.2.6", "instance-network", "(result i32)"),
    ("wasi_random", "wasi:random/random@0.2.6", "get-random-bytes", "(param i64 i32)"),
];

/// The imports of WASI as far as the guests use them.
const WORLD: &str = "
package test:hostile;

world guest {
    include windlass:workflow/workflow@0.1.0;
    import wasi:cli/exit@0.2.6;
    import wasi:cli/environment@0.2.6;
    import wasi:filesystem/preopens@0.2.6;
    import wasi:clocks/monotonic-clock@0.2.6;
    import wasi:http/types@0.2.6;
    import wasi:sockets/instance-network@0.2.6;
    import wasi:random/random@0.2.6;
}

package wasi:cli@0.2.6 {
    interface exit { exit: func(status: result); }
    interface environment {
        get-environment: func() -> list<tuple<string, string>>;
        get-arguments: func() -> list<string>;
    }
}
package wasi:io@0.2.6 {
    interface poll { resource pollable; }
}
package wasi:clocks@0.2.6 {
    interface monotonic-clock {
        use wasi:io/poll@0.2.6.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }
}
package wasi:filesystem@0.2.6 {
    interface types { resource descriptor; }
    interface preopens {
        use types.{descriptor};
        get-directories: func() -> list<tuple<descriptor, string>>;
    }
}
package wasi:http@0.2.6 {
    interface types { resource fields { constructor(); } }
}
package wasi:sockets@0.2.6 {
    interface network { resource network; }
    interface instance-network {
        use network.{network};
        instance-network: func() -> network;
    }
}
package wasi:random@0.2.6 {
    interface random { get-random-bytes: func(len: u64) -> list<u8>; }
}
";

/// Where the manifest is. At 256 there is `null`, and at 264 an `s`; at 512 there is room for an event.
const MANIFEST: u32 = 4096;

/// Functions that guests have at hand. Each is there only if it is called.
const HELPERS: &[(&str, &str)] = &[
    // Opens a call of the step `s`.
    (
        "ask_step",
        "(func $ask_step (param $input i32) (param $length i32) (result i32)
            (call $step_run (i32.const 264) (i32.const 1) (local.get $input) (local.get $length)
                (i32.const 0) (i32.const 0) (i64.const 0) (f64.const 0) (i64.const 0) (f64.const 0)
                (i32.const 0) (i64.const 0) (i32.const 0) (i64.const 0)))",
    ),
    // Writes a document of so many digits, and returns where.
    (
        "digits",
        "(func $digits (param $length i32) (result i32) (local $at i32)
            (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $length)))
            (memory.fill (local.get $at) (i32.const 49) (local.get $length))
            (local.get $at))",
    ),
    // Writes `[[[…]]]`, so many deep, and returns where.
    (
        "nested",
        "(func $nested (param $depth i32) (result i32) (local $at i32)
            (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (i32.mul (local.get $depth) (i32.const 2))))
            (memory.fill (local.get $at) (i32.const 91) (local.get $depth))
            (memory.fill (i32.add (local.get $at) (local.get $depth)) (i32.const 93) (local.get $depth))
            (local.get $at))",
    ),
    // An ending with a document.
    (
        "ends",
        "(func $ends (param $case i32) (param $document i32) (param $length i32) (result i32)
            (i32.store8 (i32.const 1024) (local.get $case))
            (i32.store (i32.const 1028) (local.get $document))
            (i32.store (i32.const 1032) (local.get $length))
            (i32.const 1024))",
    ),
    // Fails with a code that is given.
    (
        "fails",
        "(func $fails (param $code i32) (param $length i32) (result i32)
            (memory.fill (i32.const 1024) (i32.const 0) (i32.const 64))
            (i32.store8 (i32.const 1024) (i32.const 3))
            (i32.store (i32.const 1028) (local.get $code))
            (i32.store (i32.const 1032) (local.get $length))
            (i32.store (i32.const 1036) (i32.const 264))
            (i32.store (i32.const 1040) (i32.const 1))
            (i32.const 1024))",
    ),
    // A key of a few letters that follows from a number.
    (
        "key",
        "(func $key (param $number i32) (result i32) (local $digit i32)
            (loop $next
                (i32.store8 offset=2048 (local.get $digit)
                    (i32.add (i32.const 97) (i32.rem_u (local.get $number) (i32.const 26))))
                (local.set $number (i32.div_u (local.get $number) (i32.const 26)))
                (local.set $digit (i32.add (local.get $digit) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $digit) (i32.const 5))))
            (i32.const 2048))",
    ),
];

static RESOLVED: LazyLock<(Resolve, WorldId)> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    resolve.push_dir(repository().join("wit")).expect("the contract");
    let package = resolve.push_str("hostile.wit", WORLD).expect("a world");
    let world = resolve.select_world(&[package], Some("guest")).expect("the world");
    (resolve, world)
});

impl Guest {
    /// The component, whose workflow is called `workflow`.
    pub(crate) fn component(&self, workflow: &str) -> Vec<u8> {
        let text = self.module(workflow);
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{workflow}: {error}\n{text}"));
        let (resolve, world) = &*RESOLVED;
        embed_component_metadata(&mut module, resolve, *world, StringEncoding::UTF8).expect("metadata");
        let encoded = ComponentEncoder::default().module(&module).and_then(|encoder| encoder.encode());
        encoded.unwrap_or_else(|error| panic!("{workflow}: {error:#}"))
    }

    fn module(&self, workflow: &str) -> String {
        let or = |own: &'static str, else_: &'static str| if own.is_empty() { else_ } else { own };
        let describe = or(self.describe, "(i32.const 4096)");
        let start = or(self.start, "(call $completed)");
        let resume = or(self.resume, "(call $event_next (i32.const 512)) (call $completed)");
        let step = or(self.step, "(call $progress (i32.const 0))");
        let program = "windlass:workflow/program@0.1.0";
        let mut body = format!(
            "{}
            (func (export \"{program}#describe\") (result i32) {describe})
            (func (export \"{program}#start\") (param i32 i32 i32 i32) (result i32) {start})
            (func (export \"{program}#resume\") (result i32) {resume})
            (func (export \"{program}#run-step\") (param i32) (result i32) {step})",
            self.items
        );
        for (name, helper) in HELPERS {
            if body.contains(&format!("call ${name}")) {
                body.push_str(helper);
            }
        }
        let mut imports = String::new();
        for (name, module, function, kind) in IMPORTS {
            if body.contains(&format!("call ${name} ")) || body.contains(&format!("call ${name})")) {
                writeln!(imports, "(import \"{module}\" \"{function}\" (func ${name} {kind}))").expect("a string");
            }
        }
        format!("(module {imports} {BASE} {} {body})", manifest(workflow))
    }
}

/// What every guest has: a memory that grows when it must, and the simplest endings.
const BASE: &str = "
    (memory (export \"memory\") 4)
    (data (i32.const 256) \"null    s\")
    (global $heap (mut i32) (i32.const 65536))
    (func $realloc (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (local $at i32)
        (local.set $at (global.get $heap))
        (global.set $heap
            (i32.add (global.get $heap) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -16))))
        (block $fits
            (loop $grow
                (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
                (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
                (br $grow)))
        (local.get $at))
    (func $progress (param $case i32) (result i32)
        (i32.store8 (i32.const 1024) (local.get $case))
        (i32.store (i32.const 1028) (i32.const 256))
        (i32.store (i32.const 1032) (i32.const 4))
        (i32.const 1024))
    (func $waiting (result i32) (call $progress (i32.const 0)))
    (func $yielded (result i32) (call $progress (i32.const 1)))
    (func $completed (result i32) (call $progress (i32.const 2)))
    (func $again (result i32) (call $progress (i32.const 4)))
";

/// The manifest as `describe` returns it: one workflow, and one step `s` that has a second and one attempt.
fn manifest(workflow: &str) -> String {
    let strings = MANIFEST + 32 + 32 + 104;
    let mut texts = String::new();
    let mut place = |text: &str| {
        let at = strings + u32::try_from(texts.len()).expect("short");
        texts.push_str(text);
        (at, u32::try_from(text.len()).expect("short"))
    };
    let (workflow, schema, sdk, step) = (place(workflow), place("true"), place("none"), place("s"));
    let none = (0, 0);
    let mut words: Vec<u32> = Vec::new();
    let mut pair = |(at, length): (u32, u32)| words.extend([at, length]);
    [workflow, sdk, (MANIFEST + 32, 1), (MANIFEST + 64, 1)].into_iter().for_each(&mut pair);
    [workflow, none, schema, schema].into_iter().for_each(&mut pair);
    [step, none, schema, schema].into_iter().for_each(&mut pair);
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    // The retry policy: one attempt.
    bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(1.0_f64.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(0.0_f64.to_le_bytes());
    // One second; no limit for all attempts; no hosts.
    bytes.extend(1_000_000_u64.to_le_bytes());
    bytes.extend([0; 16 + 8]);
    bytes.extend(texts.bytes());
    let escaped = bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").expect("a string");
        text
    });
    format!("(data (i32.const {MANIFEST}) \"{escaped}\")")
}
