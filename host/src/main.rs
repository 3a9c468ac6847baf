//! The command `windlass`.

use std::process::ExitCode;

use clap::Parser;
use windlass_host::cli::Cli;

/// Starting an instance allocates a few hundred small things, and ending it frees them, often on another thread: this allocator
/// does that in two thirds of the time of the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
