//! The command `windlass`.

use std::process::ExitCode;

use clap::Parser;
use windlass_host::cli::Cli;

/// Each instance allocates many small things, and frees them when it is dropped. With this allocator a host takes a tenth more
/// steps a second than with the system's: docs/performance.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    Cli::parse().run()
}
