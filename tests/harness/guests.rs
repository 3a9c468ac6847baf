//! Components, built once in a run of the tests, in a target folder of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

const TARGET: &str = "wasm32-wasip2";

/// The component that a guest crate builds to.
pub fn guest(name: &str) -> PathBuf {
    let path = built().join(format!("{}.wasm", name.replace('-', "_")));
    assert!(path.exists(), "no guest is called {name}");
    path
}

/// Its bytes.
pub fn guest_bytes(name: &str) -> Vec<u8> {
    std::fs::read(guest(name)).expect("a guest that was built")
}

fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> PathBuf {
    let target = repository().join("target/guests");
    let built = cargo(&target).output().expect("cargo runs");
    if built.status.success() {
        return target.join(TARGET).join("release");
    }
    let errors = String::from_utf8_lossy(&built.stderr).into_owned();
    // A new machine does not have the target.
    let is_missing = errors.contains(&format!("the `{TARGET}` target may not be installed"));
    assert!(is_missing, "the guests do not build:\n{errors}");
    eprintln!("installing the target {TARGET}: rustup target add {TARGET}");
    let added = Command::new("rustup").args(["target", "add", TARGET]).status().expect("rustup runs");
    assert!(added.success(), "install the target yourself: rustup target add {TARGET}");
    let built = cargo(&target).status().expect("cargo runs");
    assert!(built.success(), "the guests do not build");
    target.join(TARGET).join("release")
}

fn cargo(target: &Path) -> Command {
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["build", "--locked", "--release", "--target", TARGET]).current_dir(repository().join("examples"));
    // What the outer cargo was told is not for the guests.
    cargo.env("CARGO_TARGET_DIR", target).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    cargo
}
