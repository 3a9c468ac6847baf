//! Where components are compiled: in a process of its own, so that what crashes, loops or takes all memory is not the host.

use std::io::{self, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::compiler_process::{NOT_CONFINED, machine_code};
use super::engine::compatibility;
use super::inspect::validate;
use super::machine_code::{Answer, write_bytes};
use super::{Engines, Rejection};

/// Where components are compiled.
#[derive(Clone, Debug, Default)]
pub enum Compiler {
    /// Nowhere: a host has only what is in its cache of machine code.
    #[default]
    Absent,
    /// Here. For tests and measurements of pieces; never where somebody else's components come in, which can take this process
    /// with them.
    InProcess,
    /// In a process of its own for each component.
    Process {
        /// The program `windlass`, of the same build as this one: an absolute path.
        program: PathBuf,
        /// What such a process may take.
        limits: CompileLimits,
    },
}

/// What compiling one component, for both roles, may take.
#[derive(Clone, Copy, Debug)]
pub struct CompileLimits {
    /// Bytes of address space. The allocator takes a GiB of it in advance, if it can have it.
    pub memory_bytes: u64,
    /// Processor time of all its threads together, in whole seconds.
    pub cpu_time: Duration,
    /// By the clock. Much more than that: a compiler steps back behind all that serves.
    pub time: Duration,
}

impl Default for CompileLimits {
    fn default() -> Self {
        Self { memory_bytes: 2 << 30, cpu_time: Duration::from_secs(60), time: Duration::from_secs(180) }
    }
}

/// Why there is no machine code.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CompileError {
    /// It was the component.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It was this host: trying again may help.
    #[error("this host cannot compile the component: {0}")]
    Host(String),
}

impl CompileError {
    /// What happened, without a word that the component gave.
    pub fn cause(&self) -> &str {
        match self {
            Self::Rejected(rejection) => rejection.code,
            Self::Host(message) => message,
        }
    }
}

/// How a compiler did not come to an answer.
enum Cut {
    /// It ended; its status says how.
    Ended,
    /// It took too long by the clock.
    Late,
    /// It answered, and that is it.
    Answer(CompileError),
}

impl From<CompileError> for Cut {
    fn from(error: CompileError) -> Self {
        Self::Answer(error)
    }
}

impl Compiler {
    /// In processes of that program, with the limits that are usual.
    pub fn process(program: impl Into<PathBuf>) -> Self {
        Self::Process { program: program.into(), limits: CompileLimits::default() }
    }

    /// In processes of the program that this is, which must be `windlass`.
    pub fn this_program() -> io::Result<Self> {
        std::env::current_exe().map(Self::process)
    }

    /// Compile a component that was looked over, for both roles. `load` makes components of machine code, of `code_bytes` at
    /// most. Holds the thread.
    pub(super) fn compile(
        &self,
        engines: &Engines,
        component: &[u8],
        code_bytes: usize,
        load: impl Fn(&Engine, &[u8]) -> Result<Component, CompileError>,
    ) -> Result<(Component, Component), CompileError> {
        match self {
            Self::Absent => Err(CompileError::Host("no compiler was named to it".to_owned())),
            Self::InProcess => {
                validate(component)?;
                let here = |engine: &Engine| load(engine, &machine_code(engine, component)?);
                Ok((here(&engines.workflow)?, here(&engines.step)?))
            }
            Self::Process { program, limits } => {
                let mut command = Command::new(program);
                command.arg("compile").arg("--memory-bytes").arg(limits.memory_bytes.to_string());
                command.arg("--cpu-seconds").arg(limits.cpu_time.as_secs().to_string());
                let process = Process { command, limits: *limits, engines, code_bytes };
                process.compile(component, load)
            }
        }
    }
}

/// A compiler that is about to start.
struct Process<'a> {
    command: Command,
    limits: CompileLimits,
    engines: &'a Engines,
    code_bytes: usize,
}

impl Process<'_> {
    fn compile(
        mut self,
        component: &[u8],
        load: impl Fn(&Engine, &[u8]) -> Result<Component, CompileError>,
    ) -> Result<(Component, Component), CompileError> {
        // Of what this process has, it gets three pipes: no environment, which has the database's password, no folder, no
        // terminal that could interrupt it. Everything else that this process has open closes when another program begins.
        self.command.env_clear().current_dir("/").process_group(0);
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (begun, code_bytes) = (Instant::now(), self.code_bytes);
        let spawned = self.command.spawn();
        let mut child = spawned.map_err(|error| CompileError::Host(format!("its compiler does not start: {error}")))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stdin, stdout, stderr) = (stdin.expect("piped"), stdout.expect("piped"), stderr.expect("piped"));
        let (status, words, result) = thread::scope(|scope| {
            let sending = scope.spawn(|| send(stdin, component));
            let words = scope.spawn(|| last_words(stderr));
            let (answers, inbox) = sync_channel(0);
            scope.spawn(move || receive(stdout, code_bytes, &answers));
            let next = |engine| {
                let left = self.limits.time.saturating_sub(begun.elapsed());
                match inbox.recv_timeout(left) {
                    Ok(Ok(answer)) => Ok(accept(engine, answer, &load)?),
                    Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                        Err(Cut::Answer(CompileError::Host(error.to_string())))
                    }
                    Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(Cut::Ended),
                    Err(RecvTimeoutError::Timeout) => Err(Cut::Late),
                }
            };
            let result = next(&self.engines.workflow).and_then(|workflow| Ok((workflow, next(&self.engines.step)?)));
            drop(inbox);
            // It may have ended, and nothing more is wanted of it. Then the pipes close, and the threads here end.
            let _ = child.kill();
            let status = child.wait();
            drop(sending.join());
            (status, words.join().unwrap_or_default(), result)
        });
        let status = status.map_err(|error| CompileError::Host(error.to_string()))?;
        result.map_err(|cut| match cut {
            Cut::Answer(error) => error,
            Cut::Late => too_long(&self.limits),
            Cut::Ended => explain(status, &words, &self.limits),
        })
    }
}

/// Keeps the pipe open: that it closes tells the compiler that nobody waits for it.
fn send(mut stdin: ChildStdin, component: &[u8]) -> ChildStdin {
    // A compiler that does not take it has ended, and its status says how.
    let _ = write_bytes(component, &mut stdin);
    stdin
}

fn receive(mut stdout: ChildStdout, code_bytes: usize, answers: &SyncSender<io::Result<Answer>>) {
    loop {
        let answer = Answer::read(&mut stdout, code_bytes);
        let is_last = !matches!(answer, Ok(Answer::Code { .. }));
        // Nobody may be there any more who wants it.
        if answers.send(answer).is_err() || is_last {
            return;
        }
    }
}

/// The first few lines that it writes beside its answer; the rest is read, so that it does not wait, and dropped.
fn last_words(mut stderr: ChildStderr) -> String {
    let mut words = Vec::new();
    // What was read until then is enough.
    let _ = (&mut stderr).take(4 << 10).read_to_end(&mut words);
    let _ = io::copy(&mut stderr, &mut io::sink()); // as above
    String::from_utf8_lossy(&words).into_owned()
}

fn accept(
    engine: &Engine,
    answer: Answer,
    load: impl Fn(&Engine, &[u8]) -> Result<Component, CompileError>,
) -> Result<Component, CompileError> {
    match answer {
        Answer::Rejected(rejection) => Err(rejection.into()),
        Answer::Code { compatibility: other, code } if other == compatibility(engine) => load(engine, &code),
        Answer::Code { .. } => {
            Err(CompileError::Host("its compiler is of another version than itself; restart the host".to_owned()))
        }
    }
}

fn too_long(limits: &CompileLimits) -> CompileError {
    let seconds = limits.cpu_time.as_secs();
    let message = format!(
        "compiling it takes more than {seconds} s of processor time, or much more by the clock; make it smaller, and split what \
         is very large in it: functions, blocks, instances that are made of instances"
    );
    Rejection::new("compile-too-long", message).into()
}

fn too_large(limits: &CompileLimits) -> CompileError {
    let mebibytes = limits.memory_bytes >> 20;
    let message = format!("compiling it takes more than {mebibytes} MiB of memory; make it smaller");
    Rejection::new("compile-too-large", message).into()
}

/// What the end of a compiler means that did not answer. Its words are its own, but may quote the component.
fn explain(status: ExitStatus, words: &str, limits: &CompileLimits) -> CompileError {
    // What the standard library says when an allocation fails, before it aborts.
    if words.contains("memory allocation of") || words.contains("Cannot allocate memory") {
        return too_large(limits);
    }
    let signal = status.signal();
    if signal == Some(Signal::XCPU.as_raw()) {
        return too_long(limits);
    }
    // Not by this host, so by the system, which does it when memory runs out.
    if signal == Some(Signal::KILL.as_raw()) {
        return too_large(limits);
    }
    let crashed = |how: String| {
        let message = format!(
            "the compiler crashed over it ({how}); the host is not harmed. Build it with other optimisations, and report it as \
             a bug of the compiler"
        );
        tracing::warn!(%how, "the compiler of a component crashed");
        Rejection::new("compile-failed", message).into()
    };
    match (signal, status.code()) {
        (Some(signal), _) => crashed(format!("signal {signal}")),
        // A panic.
        (None, Some(101)) => crashed("it panicked".to_owned()),
        (None, code) => {
            let is_ours = code == Some(NOT_CONFINED.into());
            let words = if is_ours { words.trim() } else { "it is no compiler" };
            CompileError::Host(format!("its compiler ended with {status}: {words}"))
        }
    }
}
