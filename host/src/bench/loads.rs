//! The component of the loads: `examples/bench`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::error::{BenchError, Result};

const TARGET: &str = "wasm32-wasip2";

/// The bytes of the component: of a file that was named, or built from its source in the checkout that this program was
/// built in.
pub(super) fn loads(named: Option<&Path>) -> Result<Vec<u8>> {
    let path = named.map_or_else(build, |path| Ok(path.to_owned()))?;
    fs::read(&path).map_err(|_| BenchError::NoLoads(path))
}

fn build() -> Result<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (source, target) = (repository.join("examples"), repository.join("target/guests"));
    if !source.join("bench").exists() {
        return Err(BenchError::NoLoads(source.join("bench")));
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "--release", "--package", "bench", "--target", TARGET, "--target-dir"]);
    // What an outer cargo was told is not for guests.
    cargo.arg(&target).current_dir(source).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    // A new machine does not have the target; where there is no rustup, cargo says what is missing.
    let _ = run(Command::new("rustup").args(["target", "add", TARGET]));
    run(&mut cargo)?;
    Ok(target.join(TARGET).join("release/bench.wasm"))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().map_err(BenchError::io("run cargo"))?;
    if output.status.success() {
        return Ok(());
    }
    let (command, output) = (format!("{command:?}"), String::from_utf8_lossy(&output.stderr).into_owned());
    Err(BenchError::Build { command, output })
}
