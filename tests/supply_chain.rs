//! What the host is built of. The rest of `deny.toml` is for `cargo deny`, which needs the list of advisories.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::harness::guests::repository;

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The strings of the list that follows `key = [` in deny.toml.
fn list(text: &str, key: &str) -> BTreeSet<String> {
    let (_, rest) = text.split_once(&format!("\n{key} = [")).expect(key);
    let (list, _) = rest.split_once("\n]").expect("its end");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_exception_of_deny_toml_says_why() {
    let text = read("deny.toml");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let exceptions = (0..lines.len()).filter(|number| lines[*number].starts_with('{'));
    assert!(exceptions.clone().count() >= 5);
    for exception in exceptions {
        let field = lines[exception].split_once("reason = \"").map_or("", |(_, reason)| reason);
        let above = lines[exception - 1].strip_prefix("# ").unwrap_or_default();
        assert!(field.len() > 10 || above.len() > 5, "why? {}", lines[exception]);
    }
    for line in text.lines().filter(|line| line.starts_with("ignore = [") || line.starts_with("skip = [")) {
        assert!(line.ends_with("[]") || line.ends_with('['), "an exception for each line: {line}");
    }
}

/// With `--package`, its dependencies have other features than in all of the workspace, and whoever has run the demo builds wasmtime again for
/// the tests.
#[test]
fn the_demo_and_the_tests_build_the_same() {
    let config = read(".cargo/config.toml");
    let commands: Vec<_> = config.lines().filter(|line| line.contains(" = \"test ")).collect();
    assert!(commands.iter().any(|line| line.starts_with("demo = ")));
    assert!(commands.iter().all(|line| !line.contains("--package") && !line.contains(" -p ")), "{commands:?}");
}

#[test]
fn everything_comes_from_the_registry_and_nothing_is_there_that_is_banned() {
    let deny = read("deny.toml");
    let (_, bans) = deny.split_once("\ndeny = [").expect("bans");
    let banned: Vec<_> = bans.split("crate = \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(banned.contains(&"openssl-sys"));
    for lock in ["Cargo.lock", "examples/Cargo.lock"] {
        let text = read(lock);
        for line in text.lines().filter(|line| line.starts_with("source = ")) {
            assert_eq!(line, "source = \"registry+https://github.com/rust-lang/crates.io-index\"", "{lock}");
        }
        for name in &banned {
            assert!(!text.contains(&format!("\nname = \"{name}\"\n")), "{lock} has {name}");
        }
    }
}

#[test]
fn every_licence_is_one_that_deny_toml_allows() {
    let deny = read("deny.toml");
    let allowed = list(&deny, "allow");
    let exceptions: Vec<_> = deny.lines().filter(|line| line.contains(", allow = [")).collect();
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--locked", "--offline", "--format-version", "1"]).current_dir(repository());
    // Packages of other systems may not be there; what is built here is.
    metadata.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = metadata.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 200);
    let mut refused = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or("none");
        let is_allowed = |one: &str| {
            let exception = exceptions.iter().find(|line| line.contains(&format!("crate = \"{name}\"")));
            allowed.contains(one) || exception.is_some_and(|line| line.contains(&format!("[\"{one}\"]")))
        };
        if !is_satisfied(licence, &is_allowed) {
            refused.push(format!("{name}: {licence}"));
        }
    }
    assert!(refused.is_empty(), "\n{}\n", refused.join("\n"));
}

/// Whether an expression such as `(MIT OR Apache-2.0) AND Unicode-3.0` can be kept; `MIT/Apache-2.0` is an old way to say OR.
fn is_satisfied(expression: &str, is_allowed: &impl Fn(&str) -> bool) -> bool {
    let all = expression.replace('/', " OR ");
    all.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')', ' ']);
        part.split(" OR ").any(|one| is_allowed(one.trim()))
    })
}

#[test]
fn expressions_of_licences_are_understood() {
    let is_allowed = |one: &str| one == "MIT" || one == "ISC";
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("MIT/GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("(GPL-3.0-only OR MIT) AND ISC", true),
        ("(GPL-3.0-only OR MIT) AND Zlib", false),
        ("none", false),
    ] {
        assert_eq!(is_satisfied(expression, &is_allowed), expected, "{expression}");
    }
}

/// Where `unsafe` may stand, and why.
const UNSAFE: [(&str, &str); 5] = [
    ("guest-sdk/rust/src/bindings.rs", "generated: how a component calls its host"),
    ("host/src/sandbox/machine_code.rs", "loading machine code that a compiler of this host made"),
    ("tests/budget.rs", "an allocator that counts"),
    ("tests/guests/courier/src/lib.rs", "a guest that looks through all of its own memory: in the sandbox anyway"),
    ("tests/guests/script/src/lib.rs", "a guest that a test writes into: in the sandbox anyway"),
];

#[test]
fn unsafe_stands_in_the_files_that_are_named_for_it() {
    // Split, so that this file does not offend.
    let words = [" {", " fn ", " impl ", " extern ", "_code, "].map(|what| format!("{}safe{what}", "un"));
    let listed = Command::new("git").args(["ls-files", "*.rs"]).current_dir(repository()).output().expect("git runs");
    let mut found = BTreeSet::new();
    for path in String::from_utf8(listed.stdout).expect("plain paths").lines() {
        let text = fs::read_to_string(repository().join(path)).unwrap_or_default();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        if code.into_iter().any(|line| words.iter().any(|word| line.contains(word))) {
            found.insert(path.to_owned());
        }
    }
    let expected: BTreeSet<_> = UNSAFE.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn every_defence_names_tests_that_are_there() {
    let text = read("SECURITY.md");
    let words = text.split('`').skip(1).step_by(2).map(|code| code.split_whitespace().collect::<Vec<_>>().join(" "));
    let named: Vec<_> =
        words.filter_map(|code| code.split_once(".rs: ").map(|(a, b)| (a.to_owned(), b.to_owned()))).collect();
    assert!(named.len() > 30, "{}", named.len());
    for (file, test) in named {
        let source = read(&format!("tests/{file}.rs"));
        assert!(source.contains(&format!("fn {test}()")), "tests/{file}.rs has no {test}");
    }
}
