//! `windlass compile`: what hosts start for each component that they compile. Not for people.

use std::process::ExitCode;

use clap::Args;

use crate::sandbox::run_compiler;

/// Compile a component from the standard input, with next to no rights.
#[derive(Args, Debug)]
pub(super) struct Compile {
    /// Bytes of address space that it may take
    #[arg(long)]
    memory_bytes: u64,
    /// Seconds of processor time that it may take
    #[arg(long)]
    cpu_seconds: u64,
}

impl Compile {
    pub(super) fn run(&self) -> ExitCode {
        run_compiler(self.memory_bytes, self.cpu_seconds)
    }
}
