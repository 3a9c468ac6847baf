//! Components with our interface, whose code does harm when it is asked what it holds. The host runs it at upload.

use std::sync::OnceLock;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use super::uploads_case::{Case, case};
use crate::harness::guests::repository;

const TRAPS: &[&str] = &["describe-trapped"];
const BAD: &[&str] = &["bad-manifest"];
const OK: &[&str] = &["ok"];

/// A core module in the workflow's world, in parts.
struct Program {
    imports: String,
    /// What else is in it.
    extra: String,
    /// The body of `describe`, which returns the address of a manifest.
    describe: String,
    memory: Memory,
}

/// What its memory holds at the beginning.
#[derive(Clone)]
struct Memory(Vec<u8>);

type Text = (u32, u32);

impl Memory {
    fn put(&mut self, bytes: &[u8]) -> u32 {
        // As all that is in it may have to be.
        self.0.resize(self.0.len().next_multiple_of(8), 0);
        let address = u32::try_from(self.0.len()).expect("a small memory");
        self.0.extend_from_slice(bytes);
        address
    }

    fn text(&mut self, text: &str) -> Text {
        (self.put(text.as_bytes()), u32::try_from(text.len()).expect("short"))
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        self.put(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
    }
}

/// A manifest as it lies in memory: what it says may be anything.
#[derive(Clone)]
struct Manifest {
    name: Text,
    sdk: Text,
    workflows: Vec<[Text; 4]>,
    steps: Vec<Step>,
    /// Instead of their number.
    workflow_count: Option<u32>,
}

#[derive(Clone)]
struct Step {
    texts: [Text; 4],
    attempts: u32,
    factor: f64,
    timeout: u64,
    http: Vec<Text>,
}

impl Step {
    fn lay_down(&self, memory: &mut Memory) -> Vec<u8> {
        let http: Vec<_> = self.http.iter().flat_map(|(at, length)| [*at, *length]).collect();
        let http_at = memory.words(&http);
        let mut bytes = Vec::new();
        let texts = self.texts.iter().flat_map(|(at, length)| [*at, *length]);
        bytes.extend(texts.chain([self.attempts, 0]).flat_map(u32::to_le_bytes));
        bytes.extend(1_000_000_u64.to_le_bytes());
        bytes.extend(self.factor.to_le_bytes());
        bytes.extend(1_000_000_u64.to_le_bytes());
        bytes.extend(0_f64.to_le_bytes());
        bytes.extend(self.timeout.to_le_bytes());
        bytes.extend([0; 16]);
        bytes.extend([http_at, u32::try_from(self.http.len()).expect("few")].into_iter().flat_map(u32::to_le_bytes));
        bytes
    }
}

impl Manifest {
    fn lay_down(&self, memory: &mut Memory) -> u32 {
        let flat: Vec<u32> = self.workflows.iter().flatten().flat_map(|(at, length)| [*at, *length]).collect();
        let workflows = memory.words(&flat);
        let steps: Vec<_> = self.steps.iter().map(|step| step.lay_down(memory)).collect();
        let steps_at = memory.put(&steps.concat());
        let count = |length: usize| u32::try_from(length).expect("few");
        let workflow_count = self.workflow_count.unwrap_or(count(self.workflows.len()));
        let (name, sdk) = (self.name, self.sdk);
        memory.words(&[name.0, name.1, sdk.0, sdk.1, workflows, workflow_count, steps_at, count(self.steps.len())])
    }
}

/// A program whose manifest is right but for what is done to it.
fn declaring(change: impl FnOnce(&mut Manifest, &mut Memory)) -> Vec<u8> {
    let mut memory = Memory(vec![0; 16]);
    let (name, flow, step) = (memory.text("hostile"), memory.text("hostile-flow"), memory.text("hostile-step"));
    let (none, schema) = (memory.text(""), memory.text("true"));
    let step =
        Step { texts: [step, none, schema, schema], attempts: 1, factor: 1.0, timeout: 1_000_000, http: Vec::new() };
    let workflows = vec![[flow, none, schema, schema]];
    let mut manifest = Manifest { name, sdk: name, workflows, steps: vec![step], workflow_count: None };
    change(&mut manifest, &mut memory);
    let address = manifest.lay_down(&mut memory);
    let describe = format!("i32.const {address}");
    Program { imports: String::new(), extra: String::new(), describe, memory }.build()
}

/// A program that does something else than to say what it holds.
fn doing(imports: &str, extra: &str, describe: &str) -> Vec<u8> {
    let (imports, extra, describe) = (imports.to_owned(), extra.to_owned(), describe.to_owned());
    Program { imports, extra, describe, memory: Memory(vec![0; 16]) }.build()
}

impl Program {
    fn build(&self) -> Vec<u8> {
        let Self { imports, extra, describe, memory } = self;
        let data: String = memory.0.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let pages = memory.0.len() / 65_536 + 1;
        let export = |function: &str| format!(r#"(export "windlass:workflow/program@0.1.0#{function}")"#);
        let text = format!(
            r#"(module {imports}
                (memory (export "memory") {pages}) (data (i32.const 0) "{data}") {extra}
                (func {} (result i32) {describe})
                (func {} (param i32 i32 i32 i32) (result i32) unreachable)
                (func {} (result i32) unreachable)
                (func {} (param i32) (result i32) unreachable)
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable))"#,
            export("describe"),
            export("start"),
            export("resume"),
            export("run-step"),
        );
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}"));
        let (resolve, world) = world();
        embed_component_metadata(&mut module, resolve, *world, StringEncoding::UTF8).expect("a world");
        let mut encoder = ComponentEncoder::default();
        encoder.module(&module).unwrap_or_else(|error| panic!("{error:#}")).encode().expect("a component")
    }
}

fn world() -> &'static (Resolve, WorldId) {
    static WORLD: OnceLock<(Resolve, WorldId)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let mut resolve = Resolve::default();
        let (package, _) = resolve.push_dir(repository().join("wit")).expect("the WIT");
        let world = resolve.select_world(&[package], Some("workflow")).expect("a world");
        (resolve, world)
    })
}

pub(crate) fn cases() -> Vec<Case> {
    [starts(), describes(), manifests(), values(), lies()].into_iter().flatten().collect()
}

/// What happens before anything is called.
fn starts() -> Vec<Case> {
    let start = |body: &str| doing("", &format!("(func $s {body}) (start $s)"), "unreachable");
    vec![
        case("start functions", "that trap", TRAPS, start("unreachable")),
        case("start functions", "that never end", TRAPS, start("(loop br 0)")),
        case("start functions", "that call themselves", TRAPS, start("call $s")),
        case("start functions", "that take all memory", TRAPS, start("(drop (memory.grow (i32.const 65000)))")),
        case("start functions", "that fill memory again and again", TRAPS, {
            start(
                "(drop (memory.grow (i32.const 900))) (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 58000000)) br 0)",
            )
        }),
        case(
            "active segments",
            "beyond the memory",
            TRAPS,
            doing("", r#"(data (i32.const 70000) "a")"#, "unreachable"),
        ),
        case("active segments", "beyond the table", TRAPS, {
            doing("", "(table 1 funcref) (func $f) (elem (i32.const 5) $f)", "unreachable")
        }),
    ]
}

/// What `describe` may do instead of describing.
fn describes() -> Vec<Case> {
    let sleep = r#"(import "windlass:workflow/timer@0.1.0" "sleep" (func $f (param i64) (result i32)))"#;
    let now = r#"(import "windlass:workflow/clock@0.1.0" "now" (func $f (result i64)))"#;
    let current = r#"(import "windlass:workflow/run@0.1.0" "current" (func $f (param i32)))"#;
    let log = r#"(import "windlass:workflow/log@0.1.0" "write" (func $f (param i32 i32 i32)))"#;
    let loops = "(loop br 0) unreachable";
    vec![
        case("describe", "that never ends", TRAPS, doing("", "", loops)),
        case("describe", "that traps", TRAPS, doing("", "", "unreachable")),
        case("describe", "that divides by zero", TRAPS, doing("", "", "(i32.div_u (i32.const 1) (i32.const 0))")),
        case("describe", "that calls itself", TRAPS, doing("", "(func $s (result i32) call $s)", "call $s")),
        case("describe", "that takes all memory", TRAPS, doing("", "", "(memory.grow (i32.const 65535))")),
        case("describe", "that takes memory page by page", TRAPS, {
            doing("", "", "(loop (drop (memory.grow (i32.const 1))) br 0) unreachable")
        }),
        case("describe", "that lets a table grow", TRAPS, {
            doing("", "(table 1 funcref)", "(table.grow (ref.null func) (i32.const 10000000))")
        }),
        case("calls that it may not make", "a timer", TRAPS, doing(sleep, "", "(call $f (i64.const 1))")),
        case("calls that it may not make", "the clock of a run", TRAPS, doing(now, "", "(drop (call $f)) unreachable")),
        case(
            "calls that it may not make",
            "which run it is",
            TRAPS,
            doing(current, "", "(call $f (i32.const 0)) unreachable"),
        ),
        case("calls that it may make", "lines without end", TRAPS, {
            doing(log, "", "(loop (call $f (i32.const 1) (i32.const 0) (i32.const 60000)) br 0) unreachable")
        }),
        case("calls that it may make", "with a text that is not there", TRAPS, {
            doing(log, "", "(call $f (i32.const 1) (i32.const 0) (i32.const -1)) unreachable")
        }),
        case("calls that it may make", "with a level that there is not", TRAPS, {
            doing(log, "", "(call $f (i32.const 77) (i32.const 0) (i32.const 0)) unreachable")
        }),
    ]
}

/// Manifests that are well-formed.
fn manifests() -> Vec<Case> {
    let long = |manifest: &mut Manifest, memory: &mut Memory| {
        let docs = memory.text(&"d".repeat(60_000));
        for number in 0..30 {
            let name = memory.text(&format!("flow-{number}"));
            let schema = manifest.workflows[0][2];
            manifest.workflows.push([name, docs, schema, schema]);
        }
    };
    vec![
        case("manifests", "that is right", OK, declaring(|_, _| ())),
        case("manifests", "without a workflow", BAD, declaring(|manifest, _| manifest.workflows.clear())),
        case(
            "manifests",
            "of 257 workflows",
            BAD,
            declaring(|manifest, memory| {
                let [_, docs, schema, _] = manifest.workflows[0];
                for number in 0..256 {
                    let name = memory.text(&format!("flow-{number}"));
                    manifest.workflows.push([name, docs, schema, schema]);
                }
            }),
        ),
        case(
            "manifests",
            "of one step a thousand times",
            BAD,
            declaring(|manifest, _| {
                manifest.steps = vec![manifest.steps[0].clone(); 1_000];
            }),
        ),
        case(
            "manifests",
            "of 1,025 steps",
            BAD,
            declaring(|manifest, memory| {
                for number in 0..1_024 {
                    let mut step = manifest.steps[0].clone();
                    step.texts[0] = memory.text(&format!("step-{number}"));
                    manifest.steps.push(step);
                }
            }),
        ),
        case(
            "manifests",
            "with a name of 60 KB",
            BAD,
            declaring(|manifest, memory| {
                manifest.name = memory.text(&"n".repeat(60_000));
            }),
        ),
        case("manifests", "with an empty name", BAD, declaring(|manifest, _| manifest.name = (0, 0))),
        case(
            "manifests",
            "with control characters in a name",
            BAD,
            declaring(|manifest, memory| {
                manifest.workflows[0][0] = memory.text("\u{1b}[2J\n");
            }),
        ),
        case("manifests", "of 1.8 MB in all", BAD, declaring(long)),
    ]
}

/// Well-formed, with a value in them that is none.
fn values() -> Vec<Case> {
    vec![
        case(
            "manifests",
            "with a schema that is no JSON",
            BAD,
            declaring(|manifest, memory| {
                manifest.workflows[0][2] = memory.text(&"[".repeat(60_000));
            }),
        ),
        case(
            "manifests",
            "with a factor that is no number",
            BAD,
            declaring(|manifest, _| manifest.steps[0].factor = f64::NAN),
        ),
        case("manifests", "with no attempt at all", BAD, declaring(|manifest, _| manifest.steps[0].attempts = 0)),
        case("manifests", "with a timeout of no time", BAD, declaring(|manifest, _| manifest.steps[0].timeout = 0)),
        case(
            "manifests",
            "with a timeout of all time",
            BAD,
            declaring(|manifest, _| manifest.steps[0].timeout = u64::MAX),
        ),
        case(
            "manifests",
            "that asks for a host that is none",
            BAD,
            declaring(|manifest, memory| {
                manifest.steps[0].http = vec![memory.text("http://user@169.254.169.254/")];
            }),
        ),
    ]
}

/// Manifests that are none: the host reads them out of the guest's memory.
fn lies() -> Vec<Case> {
    vec![
        case("lies in memory", "a manifest beyond the memory", TRAPS, doing("", "", "i32.const -32")),
        case("lies in memory", "a manifest at an odd address", TRAPS, doing("", "", "i32.const 3")),
        case(
            "lies in memory",
            "a list of all that can be counted",
            TRAPS,
            declaring(|manifest, _| {
                manifest.workflow_count = Some(u32::MAX);
            }),
        ),
        case(
            "lies in memory",
            "a list that wraps around to its length",
            TRAPS,
            declaring(|manifest, _| {
                manifest.workflow_count = Some(0x0800_0001);
            }),
        ),
        case(
            "lies in memory",
            "a text beyond the memory",
            TRAPS,
            declaring(|manifest, _| manifest.sdk = (65_000, 1 << 20)),
        ),
        case(
            "lies in memory",
            "a text that is no UTF-8",
            TRAPS,
            declaring(|manifest, memory| {
                manifest.sdk = (memory.put(&[0xff, 0xfe]), 2);
            }),
        ),
        case(
            "lies in memory",
            "100 MB, all of the same 60 KB",
            TRAPS,
            declaring(|manifest, memory| {
                let docs = (memory.put(&[b'd'; 60_000]), 60_000);
                let [name, _, schema, _] = manifest.workflows[0];
                manifest.workflows = vec![[name, docs, schema, schema]; 1_700];
            }),
        ),
        case(
            "lies in memory",
            "thirty thousand workflows of nothing",
            TRAPS,
            declaring(|manifest, _| {
                manifest.workflows = vec![[(0, 0); 4]; 30_000];
            }),
        ),
    ]
}
