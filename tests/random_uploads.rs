//! `cargo random-uploads [COUNT [SEED]]`: components that are random, or were damaged at random. Each is refused with a code
//! that there is, or is one that harms nobody; nothing panics, and no stack overflows.
//!
//! Each is looked at in a thread of its own whose name says which it is: `SEED NUMBER`. `cargo random-uploads 1 SEED NUMBER`
//! makes it again.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

mod harness;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use harness::guests::{guest_bytes, repository};
use harness::host::WINDLASS;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::sync::Arc;
use wasm_encoder::RawSection;
use windlass_host::run::{Code, Guest, Sandbox, build_sandbox};
use windlass_host::sandbox::{CompileError, CompileLimits, Compiler, Crash, Limits, inspect};

/// In an ordinary run of the tests.
const COUNT_DEFAULT: u32 = 2_000;
const SEED_DEFAULT: u64 = 20_261_121;

/// Of those that pass the inspection, so many are compiled in an ordinary run; else one in twenty-five.
const COMPILED_MIN: u32 = 50;

/// As much as a thread of a host has.
const STACK_BYTES: usize = 2 << 20;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<u64>().ok());
    let count = numbers.next().and_then(|count| u32::try_from(count).ok()).unwrap_or(COUNT_DEFAULT);
    let seed = numbers.next().unwrap_or(SEED_DEFAULT);
    let first = numbers.next().and_then(|first| u32::try_from(first).ok()).unwrap_or(0);
    let begun = Instant::now();
    let round = Round::new(seed, first, count);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| round.work());
        }
    });
    let counts = round.counts.into_inner().expect("no panic");
    println!("{count} random uploads in {:.0} s, seed {seed}", begun.elapsed().as_secs_f64());
    for (code, count) in &counts {
        println!("{count:8} {code}");
    }
    let failures = round.failures.into_inner().expect("no panic");
    for failure in &failures {
        println!("FAILED: {failure}");
    }
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Round {
    seed: u64,
    next: AtomicU32,
    end: u32,
    compiled: AtomicU32,
    guests: Vec<Vec<u8>>,
    sandbox: Sandbox,
    limits: Arc<Limits>,
    /// `docs/errors.md`.
    list: String,
    counts: Mutex<BTreeMap<String, u32>>,
    failures: Mutex<Vec<String>>,
}

impl Round {
    fn new(seed: u64, first: u32, count: u32) -> Self {
        let limits = Limits { workflow_instances: 8, step_instances: 8, ..Limits::default() };
        let (cpu_time, time) = (Duration::from_secs(10), Duration::from_secs(60));
        let compiler = CompileLimits { cpu_time, time, ..CompileLimits::default() };
        let compiler = Compiler::Process { program: WINDLASS.into(), limits: compiler };
        Self {
            seed,
            next: AtomicU32::new(first),
            end: first + count,
            compiled: AtomicU32::new(COMPILED_MIN.max(count / 25)),
            guests: ["hello", "raw", "script", "approval"].map(guest_bytes).into(),
            sandbox: build_sandbox(limits.clone(), compiler, None).expect("a sandbox"),
            limits: Arc::new(limits),
            list: std::fs::read_to_string(repository().join("docs/errors.md")).expect("a list"),
            counts: Mutex::default(),
            failures: Mutex::default(),
        }
    }

    fn work(&self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.end {
                return;
            }
            let name = format!("{} {number}", self.seed);
            let code = thread::scope(|scope| {
                let upload = || self.upload(number);
                let thread = thread::Builder::new().name(name.clone()).stack_size(STACK_BYTES);
                thread.spawn_scoped(scope, upload).expect("a thread").join()
            });
            let failure = match code {
                Ok(code) if code.starts_with("ok") || self.list.contains(&format!("| `{code}` |")) => {
                    *self.counts.lock().expect("no panic").entry(code).or_default() += 1;
                    continue;
                }
                Ok(code) => format!("{name}: `{code}` is no code"),
                Err(_panic) => format!("{name}: it panicked"),
            };
            self.failures.lock().expect("no panic").push(failure);
        }
    }

    /// What comes of it: a code, or `ok` and how far it was looked at.
    fn upload(&self, number: u32) -> String {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed ^ (u64::from(number) << 32));
        let bytes = self.make(&mut random);
        if let Err(rejection) = inspect(&bytes, &self.limits) {
            return rejection.code.to_owned();
        }
        let left = self.compiled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_err() {
            return "ok, not compiled".to_owned();
        }
        match Code::new(&self.sandbox, &bytes) {
            Ok(code) => match Guest::describe(&code, &Arc::new(self.limits.guest.clone())) {
                Ok(Ok(_)) => "ok".to_owned(),
                Ok(Err(_)) => "bad-manifest".to_owned(),
                Err(Crash::Trap(_)) => "describe-trapped".to_owned(),
                Err(Crash::Host(message)) => message,
            },
            Err(CompileError::Rejected(rejection)) => rejection.code.to_owned(),
            Err(CompileError::Host(message)) => message,
        }
    }

    fn make(&self, random: &mut ChaCha8Rng) -> Vec<u8> {
        let guest = &self.guests[random.random_range(0..self.guests.len())];
        match random.random_range(0..100) {
            0..20 => smith_component(random),
            20..30 => in_component(&smith_module(random)),
            30..32 => smith_module(random),
            32..36 => with_mutated_module(&self.guests[2], random),
            36..70 => flipped(guest, random),
            70..80 => guest[..random.random_range(0..guest.len())].to_vec(),
            80..95 => spliced(guest, &self.guests[random.random_range(0..self.guests.len())], random),
            _ => noise(random, 4 << 10),
        }
    }
}

fn noise(random: &mut ChaCha8Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill_bytes(&mut bytes);
    bytes
}

fn smith_component(random: &mut ChaCha8Rng) -> Vec<u8> {
    let seed = noise(random, 8 << 10);
    let component = wasm_smith::Component::new(wasm_smith::Config::default(), &mut Unstructured::new(&seed));
    component.map(|component| component.to_bytes()).unwrap_or(seed)
}

fn smith_module(random: &mut ChaCha8Rng) -> Vec<u8> {
    let seed = noise(random, 8 << 10);
    let module = wasm_smith::Module::new(wasm_smith::Config::default(), &mut Unstructured::new(&seed));
    module.map(|module| module.to_bytes()).unwrap_or(seed)
}

fn in_component(module: &[u8]) -> Vec<u8> {
    let mut component = wasm_encoder::Component::new();
    component.section(&RawSection { id: 1, data: module });
    component.finish()
}

/// The same, with another largest module: one that does the same in other words, or not.
fn with_mutated_module(component: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let sections = sections(component);
    let largest = sections.iter().filter(|(id, _)| *id == 1).max_by_key(|(_, data)| data.len()).expect("a module").1;
    let mut mutate = wasm_mutate::WasmMutate::default();
    mutate.seed(random.random()).fuel(200).preserve_semantics(random.random());
    let mutated = mutate.run(largest).ok().and_then(|mut mutations| mutations.next()).and_then(Result::ok);
    let mut whole = wasm_encoder::Component::new();
    for (id, data) in sections {
        let is_it = std::ptr::eq(data, largest);
        whole.section(&RawSection { id, data: mutated.as_deref().filter(|_| is_it).unwrap_or(data) });
    }
    whole.finish()
}

/// Number and content of each section of a component that is whole.
fn sections(component: &[u8]) -> Vec<(u8, &[u8])> {
    let mut rest = &component[8..];
    let mut sections = Vec::new();
    while let [id, after @ ..] = rest {
        let digits = after.iter().take_while(|byte| **byte >= 0x80).count() + 1;
        let length = after[..digits].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
        sections.push((*id, &after[digits..digits + length]));
        rest = &after[digits + length..];
    }
    sections
}

fn flipped(guest: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = guest.to_vec();
    // The structure is dense at the beginning and at the end; most of the rest is code.
    let near = random.random_range(0..3);
    for _ in 0..random.random_range(1..4) {
        let place = match near {
            0 => random.random_range(8..4_096),
            1 => bytes.len() - random.random_range(1..8_192),
            _ => random.random_range(0..bytes.len()),
        };
        if random.random() {
            bytes[place] ^= 1 << random.random_range(0..8);
        } else {
            bytes[place] = random.random();
        }
    }
    bytes
}

/// A part of one in the place of a part of the other.
fn spliced(guest: &[u8], other: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    let (from, to) = (random.random_range(8..guest.len()), random.random_range(8..other.len()));
    let most = 1 << random.random_range(2..16);
    let length = random.random_range(0..most);
    let part = &other[to..other.len().min(to + length)];
    let behind = if random.random() { from } else { guest.len().min(from + part.len()) };
    [&guest[..from], part, &guest[behind..]].concat()
}
