//! The command `windlass`.

use std::process::ExitCode;

use clap::Parser;
use windlass_host::cli::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
