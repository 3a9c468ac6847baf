//! The process that compiles: it has nothing, may take only so much, and ends when nobody waits for it any longer.

use std::io::{self, Read as _};
use std::process::ExitCode;
use std::{fs, thread};

use rustix::process::{Resource, Rlimit, nice, setrlimit};
use wasmtime::Engine;

use super::engine::compatibility;
use super::inspect::validate;
use super::machine_code::{Answer, read_bytes};
use super::{Engines, Rejection};

/// Be a compiler for the host that has started this process, with so many bytes of address space and seconds of processor time:
/// read one component, answer with its machine code. This is all that the process does, and comes before it has threads.
pub fn run_compiler(memory_bytes: u64, cpu_seconds: u64) -> ExitCode {
    match confine(memory_bytes, cpu_seconds).and_then(|()| serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The host looks at the exit code, and logs this.
            eprintln!("{error}");
            ExitCode::from(NOT_CONFINED)
        }
    }
}

/// Exit code of a compiler that could not begin, or could not answer: not the component's fault.
pub(super) const NOT_CONFINED: u8 = 70;

/// How far the compiler steps back behind all that serves.
const NICE: i32 = 10;

fn confine(memory_bytes: u64, cpu_seconds: u64) -> io::Result<()> {
    // If the machine runs out of memory, this is what has to go. A machine without the file has no such order.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    nice(NICE)?;
    let set = |resource, current: u64, maximum: u64| {
        setrlimit(resource, Rlimit { current: Some(current), maximum: Some(maximum) })
    };
    set(Resource::Core, 0, 0)?;
    set(Resource::Fsize, 0, 0)?;
    // Those that are open stay open: the three pipes to the host.
    set(Resource::Nofile, 3, 3)?;
    set(Resource::As, memory_bytes, memory_bytes)?;
    Ok(set(Resource::Cpu, cpu_seconds, cpu_seconds.saturating_add(1))?)
}

fn serve() -> io::Result<()> {
    let component = read_bytes(&mut io::stdin().lock())?;
    thread::spawn(|| {
        // Nothing comes any more: this returns when the host closes the pipe, or is no longer there.
        let _ = io::stdin().lock().read(&mut [0]);
        std::process::exit(NOT_CONFINED.into());
    });
    let mut to = io::stdout().lock();
    if let Err(rejection) = validate(&component) {
        return Answer::Rejected(rejection).write(&mut to);
    }
    let engines = Engines::of_compiler().map_err(io::Error::other)?;
    for engine in [&engines.workflow, &engines.step] {
        let answer = match machine_code(engine, &component) {
            Ok(code) => Answer::Code { compatibility: compatibility(engine), code },
            Err(rejection) => Answer::Rejected(rejection),
        };
        answer.write(&mut to)?;
    }
    Ok(())
}

/// Compile, here.
pub(super) fn machine_code(engine: &Engine, component: &[u8]) -> Result<Vec<u8>, Rejection> {
    engine.precompile_component(component).map_err(|error| {
        let message = format!("{error:#}");
        let is_memory = message.contains("Cannot allocate memory") || message.contains("out of memory");
        if is_memory {
            Rejection::new("compile-too-large", format!("compiling it takes more memory than it may: {message}"))
        } else {
            Rejection::new("compile-failed", message)
        }
    })
}
