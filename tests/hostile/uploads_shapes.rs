//! Bytes that hurt whoever reads, validates or compiles them.

use super::uploads_case::{Case, case};
use crate::harness::guests::guest_bytes;

/// It is refused by its shape, before anything is compiled.
const COMPLEX: &[&str] = &["component-too-complex"];
const INVALID: &[&str] = &["invalid-component"];
/// It compiles, and is none of ours.
const HARMLESS: &[&str] = &["missing-export"];
/// How far the compiler comes depends on the machine.
const COMPILED: &[&str] = &["missing-export", "compile-failed", "compile-too-long", "compile-too-large"];
/// No machine is quick enough, or has enough.
const ENDLESS: &[&str] = &["compile-too-long", "compile-too-large"];

pub(crate) fn cases() -> Vec<Case> {
    [functions(), segments(), numbers(), sizes(), nesting(), instances(), features(), interfaces(), custom(), damaged()]
        .into_iter()
        .flatten()
        .collect()
}

pub(super) fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn module(text: &str) -> Vec<u8> {
    wat(&format!("(component (core module {text}))"))
}

fn parts(item: &str, count: usize) -> Vec<u8> {
    wat(&format!("(component {})", item.repeat(count)))
}

fn many(item: &str, count: usize) -> Vec<u8> {
    module(&item.repeat(count))
}

fn functions() -> Vec<Case> {
    let targets = |count: usize| "0 ".repeat(count);
    let nested = |open: &str, count: usize| module(&format!("(func {} {})", open.repeat(count), "end ".repeat(count)));
    // Edges into a block with parameters: each passes on as many values as it has.
    let edges = |tables: usize, count: usize| {
        let values = "i64 ".repeat(200);
        let table = format!("{} local.get 0 br_table {}", "i64.const 1 ".repeat(200), targets(count));
        let bodies = format!("block (result {values}) {table} end {}", "drop ".repeat(200)).repeat(tables);
        module(&format!("(func (param i32) {bodies})"))
    };
    vec![
        case("a huge function", "longer than the cap", COMPLEX, module(&format!("(func {})", "nop ".repeat(1 << 20)))),
        case(
            "a huge function",
            "just within it",
            HARMLESS,
            module(&format!("(func {})", "nop ".repeat((1 << 20) - 2))),
        ),
        case(
            "a huge function",
            "a long chain of sums",
            COMPILED,
            module(&format!("(func (param i32) (result i32) local.get 0 {})", "local.get 0 i32.add ".repeat(340_000))),
        ),
        case(
            "a huge function",
            "all stores",
            COMPILED,
            module(&format!("(memory 1) (func {})", "i32.const 1 i32.const 2 i32.store ".repeat(140_000))),
        ),
        case("deep blocks", "blocks", COMPILED, nested("block ", 300_000)),
        case("deep blocks", "loops", COMPILED, nested("loop ", 200_000)),
        case("deep blocks", "ifs", COMPILED, nested("i32.const 1 if ", 150_000)),
        case(
            "br_table",
            "half a million targets",
            COMPILED,
            module(&format!("(func (param i32) local.get 0 br_table {})", targets(500_000))),
        ),
        case("br_table", "many tables with many values each", COMPILED, edges(100, 3_000)),
        case("calls", "of five hundred values each, a hundred thousand times", COMPILED, calls(500, 100_000)),
        case("locals", "one more than the cap", COMPLEX, module(&format!("(func (local {}))", "i64 ".repeat(5_001)))),
        case("locals", "just as many, all alive", COMPILED, module(&live_locals(5_000))),
        case("locals", "four thousand million in a few bytes", COMPLEX, locals_that_are_announced()),
        case("many functions", "more than the cap", COMPLEX, many("(func)", 100_001)),
        case("many functions", "as many as may be", COMPILED, many("(func)", 100_000)),
    ]
}

/// A function that takes and gives so many values, and calls itself so often: for each byte of it, so many values are alive.
pub(super) fn calls(values: usize, count: usize) -> Vec<u8> {
    let (types, gets) = ("i64 ".repeat(values), (0..values).map(|n| format!("local.get {n} ")).collect::<String>());
    module(&format!("(func (param {types}) (result {types}) {gets} {})", "call 0 ".repeat(count)))
}

/// All are set first, and used afterwards.
fn live_locals(count: usize) -> String {
    let set: String = (0..count).map(|local| format!("i64.const {local} local.set {local} ")).collect();
    let used: String = (0..count).map(|local| format!("local.get {local} i64.xor ")).collect();
    format!("(func (result i64) (local {}) {set} i64.const 0 {used})", "i64 ".repeat(count))
}

/// A function whose one group of locals has 0xffff_ffff.
fn locals_that_are_announced() -> Vec<u8> {
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &[1, 4, 1, 0x60, 0, 0],
        &[3, 2, 1, 0],
        &[10, 10, 1, 8, 1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b],
    ]
    .concat();
    in_component(&module)
}

/// A core module as it stands, in a component.
fn in_component(module: &[u8]) -> Vec<u8> {
    let mut component = wasm_encoder::Component::new();
    component.section(&wasm_encoder::RawSection { id: 1, data: module });
    component.finish()
}

fn segments() -> Vec<Case> {
    let announced = [&b"\0asm\x01\0\0\0"[..], &[11, 5, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat();
    // Two bytes that are far apart: an image of all that is between them.
    let apart = r#"(core module (memory 1000) (data (i32.const 0) "a") (data (i32.const 16777000) "b"))"#;
    vec![
        case("data segments", "more than the cap", COMPLEX, many(r#"(data "a")"#, 20_001)),
        case("data segments", "a number that is a lie", COMPLEX, in_component(&announced)),
        case("data segments", "images of 16 MiB each", COMPILED, parts(apart, 4)),
        case("element segments", "more than the cap", COMPLEX, many("(elem funcref)", 2_001)),
        case(
            "element segments",
            "one of a million elements",
            COMPILED,
            module(&format!("(func) (elem func {})", "0 ".repeat(1_000_000))),
        ),
    ]
}

fn numbers() -> Vec<Case> {
    let names = |name: &str, count: usize| {
        let exports: String = (0..count).map(|number| format!(r#"(export "{number}" ({name} 0))"#)).collect();
        module(&format!("(func) {exports}"))
    };
    vec![
        case("globals", "more than the cap", COMPLEX, many("(global i64 (i64.const 0))", 20_001)),
        case("globals", "as many as may be", COMPILED, many("(global i64 (i64.const 0))", 20_000)),
        case("types", "more than the cap", COMPLEX, many("(type (func))", 50_001)),
        case(
            "types",
            "a function with 1,001 parameters",
            INVALID,
            module(&format!("(type (func (param {})))", "i64 ".repeat(1_001))),
        ),
        case("types", "one that doubles forty times", INVALID, wat(&doubling_types(40))),
        case("imports", "more than the cap", COMPLEX, many(r#"(import "a" "b" (func))"#, 50_001)),
        case("exports", "more than the cap", COMPLEX, names("func", 50_001)),
        case("exports", "as many as may be", COMPILED, names("func", 50_000)),
        case("names", "longer than the cap", COMPLEX, module(&format!(r#"(func (export "{}"))"#, "n".repeat(8_193)))),
        case("names", "longer than any", INVALID, module(&format!(r#"(func (export "{}"))"#, "n".repeat(100_001)))),
        case("names", "that are no UTF-8", INVALID, with_byte(module(r#"(func (export "a"))"#), b'a', 0xff)),
    ]
}

/// Each is a pair of the one before it.
fn doubling_types(count: usize) -> String {
    let types: String = (1..=count).map(|n| format!("(type $t{n} (tuple $t{0} $t{0}))", n - 1)).collect();
    format!("(component (type $t0 (tuple u8 u8)) {types})")
}

/// With the last byte of that value replaced.
fn with_byte(mut bytes: Vec<u8>, old: u8, new: u8) -> Vec<u8> {
    let place = bytes.iter().rposition(|byte| *byte == old).expect("it is there");
    bytes[place] = new;
    bytes
}

fn sizes() -> Vec<Case> {
    vec![
        case("memories", "of 4 GiB", COMPLEX, module("(memory 65536)")),
        case("memories", "one page more than there may be", COMPLEX, module("(memory 1025)")),
        case("memories", "that may grow to 4 GiB", HARMLESS, module("(memory 0 65536)")),
        case("memories", "more than there may be", COMPLEX, parts("(core module (memory 1))", 5)),
        case("tables", "of one element more than there may be", COMPLEX, module("(table 20001 funcref)")),
        case("tables", "of all elements that can be numbered", COMPLEX, module("(table 0xffffffff funcref)")),
        case("tables", "more than there may be", COMPLEX, many("(table 1 funcref)", 17)),
    ]
}

fn nesting() -> Vec<Case> {
    let mut types = vec![1];
    types.extend([0x42, 1, 1].repeat(1_000_000));
    let mut deep_types = wasm_encoder::Component::new();
    deep_types.section(&wasm_encoder::RawSection { id: 7, data: &types });
    let mut components = wasm_encoder::Component::new().finish();
    for _ in 0..3_000 {
        let mut outer = wasm_encoder::Component::new();
        outer.section(&wasm_encoder::RawSection { id: 4, data: &components });
        components = outer.finish();
    }
    let written = |depth: usize| wat(&format!("{}{}", "(component ".repeat(depth), ")".repeat(depth)));
    let lists: String = (1..=101).map(|n| format!("(type $t{n} (list $t{}))", n - 1)).collect();
    vec![
        case("nested types", "a million deep", COMPLEX, deep_types.finish()),
        case(
            "nested types",
            "a list of lists, 101 deep",
            INVALID,
            wat(&format!("(component (type $t0 (list u8)) {lists})")),
        ),
        case("nested components", "three thousand deep", COMPLEX, components),
        case("nested components", "one more than the cap", COMPLEX, written(18)),
        case("nested components", "as deep as may be", HARMLESS, written(17)),
    ]
}

fn instances() -> Vec<Case> {
    let instances = |count: usize| {
        wat(&format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(count)))
    };
    let doubling = |inner: &str, count: usize| {
        let levels: String = (1..=count)
            .map(|n| format!("(component $c{n} (instance (instantiate $c{0})) (instance (instantiate $c{0})))", n - 1))
            .collect();
        wat(&format!("(component (component $c0 {inner}) {levels} (instance (instantiate $c{count})))"))
    };
    let aliases = "(alias export $i \"f\" (func))".repeat(100_001);
    let host = r#"(import "windlass:workflow/clock@0.1.0" (instance $i (export "f" (func))))"#;
    vec![
        case("instances", "more than the cap", COMPLEX, instances(1_001)),
        case("instances", "more than one component may have", &["compile-failed"], instances(100)),
        case("instances", "each made of two, forty times", ENDLESS, doubling("", 40)),
        case("instances", "each made of two, with a module, ninety times", ENDLESS, {
            doubling("(core module $m) (core instance (instantiate $m))", 90)
        }),
        case("instances", "made of more modules than the cap", COMPLEX, parts("(core module)", 101)),
        case("aliases", "more than the cap", COMPLEX, wat(&format!("(component {host} {aliases})"))),
    ]
}

fn features() -> Vec<Case> {
    let modules = [
        ("threads", "(memory 1 1 shared)"),
        ("atomics", "(memory 1) (func i32.const 0 i32.atomic.load drop)"),
        ("64-bit memory", "(memory i64 1)"),
        ("64-bit tables", "(table i64 1 funcref)"),
        ("garbage collection", "(type (struct (field i32)))"),
        ("typed function references", "(type $f (func)) (func (param (ref $f)) local.get 0 call_ref $f)"),
        ("exceptions", "(tag)"),
        ("several memories", "(memory 1) (memory 1)"),
        ("pages of another size", "(memory 1 (pagesize 1))"),
        ("wide arithmetic", "(func (param i64 i64) (result i64 i64) local.get 0 local.get 1 i64.mul_wide_u)"),
        ("stack switching", "(type $f (func)) (type $c (cont $f))"),
    ];
    let components = [
        ("streams", "(component (type (stream u8)))"),
        ("futures", "(component (type (future)))"),
        ("functions that are asynchronous", "(component (type (func async)))"),
        ("error contexts", "(component (type error-context))"),
        ("tasks", "(component (core func (canon task.cancel)))"),
        ("threads of components", "(component (core func (canon thread.available_parallelism)))"),
    ];
    let modules = modules.map(|(name, text)| case("features", name, INVALID, module(text)));
    let components = components.map(|(name, text)| case("features", name, INVALID, wat(text)));
    modules.into_iter().chain(components).collect()
}

fn interfaces() -> Vec<Case> {
    let import = |name: &str, ty: &str| wat(&format!(r#"(component (import "{name}" {ty}))"#));
    let nothing = "(instance)";
    let program = r#"(component
        (core module $m (func (export "f")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i "f")))
        (instance $p (export "describe" (func $f)) (export "start" (func $f))
                     (export "resume" (func $f)) (export "run-step" (func $f)))
        (export "NAME" KIND))"#;
    let export = |name: &str, kind: &str| wat(&program.replace("NAME", name).replace("KIND", kind));
    let sleep = r#"(instance (export "sleep" (func (param "duration" string) (result u32))))"#;
    let stream = r#"(instance (export "input-stream" (type (sub resource)))
                              (export "extra" (func (result (list (own 0))))))"#;
    vec![
        case(
            "forged imports",
            "an interface that is unknown",
            &["unknown-import"],
            import("evil:host/shell@1.0.0", nothing),
        ),
        case("forged imports", "a function at the root", &["unknown-import"], import("exec", "(func)")),
        case(
            "forged imports",
            "WASI of another version",
            &["unknown-import"],
            import("wasi:cli/environment@0.3.0", nothing),
        ),
        case(
            "forged imports",
            "our package in another version",
            &["unknown-import"],
            import("windlass:workflow/step@0.2.0", nothing),
        ),
        case(
            "forged imports",
            "a name that begins like ours",
            &["unknown-import"],
            import("windlass:workflows/step@0.1.0", nothing),
        ),
        case("forged imports", "an interface of ours that there is not", &["import-mismatch"], {
            import("windlass:workflow/shell@0.1.0", r#"(instance (export "exec" (func)))"#)
        }),
        case("forged imports", "another type", &["import-mismatch"], import("windlass:workflow/timer@0.1.0", sleep)),
        case("forged imports", "a module", &["import-mismatch", "invalid-component"], {
            import("windlass:workflow/timer@0.1.0", "(core module)")
        }),
        case("forged imports", "streams with a function of their own", &["import-mismatch"], {
            import("wasi:io/streams@0.2.0", stream)
        }),
        case("forged exports", "our interface with other types", &["describe-trapped"], {
            export("windlass:workflow/program@0.1.0", "(instance $p)")
        }),
        case("forged exports", "a function instead of our interface", HARMLESS, export("program", "(func $f)")),
        case("forged exports", "our interface in another version", HARMLESS, {
            export("windlass:workflow/program@0.9.0", "(instance $p)")
        }),
    ]
}

fn custom() -> Vec<Case> {
    let section = |name: &str, count: usize| parts(&format!(r#"(@custom "{name}" "\ff\ff\ff")"#), count);
    // Names of functions: four thousand million of them, it says.
    let names = r#"(func) (@custom "name" "\01\06\ff\ff\ff\ff\0f\00")"#;
    vec![
        case("custom sections", "more than the cap", COMPLEX, section("x", 1_001)),
        case("custom sections", "with a name that is too long", COMPLEX, section(&"x".repeat(9_000), 1)),
        case("custom sections", "what they say of debugging is nonsense", HARMLESS, section(".debug_info", 10)),
        case("custom sections", "what they say of linking is nonsense", HARMLESS, section("dylink.0", 10)),
        case("name sections", "more names than there are functions", HARMLESS, module(names)),
        case("name sections", "of the component", HARMLESS, section("component-name", 2)),
    ]
}

/// Real components, cut and bent.
fn damaged() -> Vec<Case> {
    const CUT: &[&str] = &["invalid-component", "not-wasm"];
    /// A bit may be part of a number that nobody misses.
    const BENT: &[&str] = &[
        "ok",
        "not-wasm",
        "not-a-component",
        "component-too-complex",
        "invalid-component",
        "compile-failed",
        "unknown-import",
        "import-mismatch",
        "missing-export",
        "describe-trapped",
        "bad-manifest",
    ];
    let hello = guest_bytes("hello");
    let cut = (0..8).map(|eighth| {
        let length = hello.len() * eighth / 8 + 3;
        case("truncated components", format!("after {length} bytes"), CUT, hello[..length].to_vec())
    });
    let bent = (0..24).map(|number| {
        let mut bytes = hello.clone();
        // Spread, and always the same: near the beginning, where the structure is, and everywhere.
        let place = if number % 2 == 0 { number * 97 } else { (number * 6_151) % bytes.len() };
        bytes[place] ^= 1 << (number % 8);
        case("bent components", format!("bit {} of byte {place}", number % 8), BENT, bytes)
    });
    cut.chain(bent).collect()
}
