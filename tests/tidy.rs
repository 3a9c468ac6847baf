//! The house rules that a program can check.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::guests::repository;

/// What git tracks or would track, as path and text.
fn files(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let listed = std::process::Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .expect("git runs");
    let listed = String::from_utf8(listed.stdout).expect("plain paths");
    let wanted = listed.lines().map(PathBuf::from).filter(|path| {
        path.extension().and_then(|ending| ending.to_str()).is_some_and(|ending| endings.contains(&ending))
    });
    // A file that was just removed is still listed.
    let read = wanted.filter_map(|path| fs::read_to_string(repository().join(&path)).ok().map(|text| (path, text)));
    let files: Vec<_> = read.collect();
    assert!(!files.is_empty(), "no {endings:?}");
    files
}

fn host_files() -> Vec<(PathBuf, String)> {
    let mut files = files(&["rs"]);
    files.retain(|(path, _)| path.starts_with("host/src"));
    files
}

/// Panics with all offences at once.
fn assert_none(offences: Vec<String>) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn no_file_is_longer_than_400_lines() {
    let long = files(&["rs", "sql", "wit"]).into_iter().filter(|(_, text)| text.lines().count() > 400);
    assert_none(long.map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count())).collect());
}

#[test]
fn no_file_is_a_drawer() {
    let drawers = ["util", "utils", "common", "helpers", "misc"];
    let named = |path: &Path| {
        path.components().any(|part| {
            drawers
                .contains(&Path::new(part.as_os_str()).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default())
        })
    };
    assert_none(
        files(&["rs", "sql"])
            .into_iter()
            .filter(|(path, _)| named(path))
            .map(|(path, _)| path.display().to_string())
            .collect(),
    );
}

#[test]
fn nothing_is_left_for_later_without_a_word() {
    // Split, so that this file does not offend.
    let leftovers =
        ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "X".to_owned() + "XX", "unimplemented".to_owned() + "!("];
    let offends = |text: &str| leftovers.iter().any(|leftover| text.contains(leftover.as_str()));
    let found = files(&["rs", "sql", "wit", "md", "toml"]).into_iter().filter(|(_, text)| offends(text));
    assert_none(found.map(|(path, _)| path.display().to_string()).collect());
}

/// From the bottom to the top: a file may use its own folder and those before it. `fair`, `sandbox`, `store` and `postgres` stand
/// side by side and know nothing of each other; so do `api` and `cli`'s hosts.
const LAYERS: [&[&str]; 10] = [
    &["model"],
    &["fair"],
    &["sandbox", "store", "postgres"],
    &["history"],
    &["imports"],
    &["run"],
    &["worker"],
    &["api"],
    &["bench"],
    &["serve", "cli"],
];

#[test]
fn imports_point_one_way() {
    let layer = |module: &str| LAYERS.iter().position(|modules| modules.contains(&module));
    let mut offences = Vec::new();
    for (path, text) in host_files() {
        let Some(module) = path.iter().nth(2).and_then(|part| part.to_str()).map(|part| part.trim_end_matches(".rs"))
        else {
            continue;
        };
        let Some(own) = layer(module) else { continue };
        for (number, line) in text.lines().enumerate() {
            for used in line.split("crate::").skip(1) {
                let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                let Some(other) = layer(&used) else { continue };
                // The command line shares the shapes of the API's answers.
                if used != module && (other > own || (other == own && module != "cli")) {
                    offences.push(format!("{}:{}: {module} uses {used}", path.display(), number + 1));
                }
            }
        }
    }
    assert_none(offences);
}

#[test]
fn each_technology_has_one_wall() {
    let walls: [(&str, &[&str]); 5] = [
        // The benchmark looks at the database from outside.
        ("sqlx", &["host/src/store/", "host/src/bench/database.rs", "host/src/bench/bare.rs"]),
        (
            "wasmtime",
            &[
                "host/src/sandbox/",
                "host/src/imports/",
                "host/src/run/guest.rs",
                "host/src/run/steps.rs",
                "host/src/run/program.rs",
            ],
        ),
        ("axum", &["host/src/api/"]),
        ("reqwest", &["host/src/cli/"]),
        ("object_store", &["host/src/worker/archive_store.rs"]),
    ];
    let mut offences = Vec::new();
    for (path, text) in host_files() {
        for (technology, places) in walls {
            let behind = places.iter().any(|place| path.starts_with(place));
            let uses = text
                .lines()
                .any(|line| line.contains(&format!("{technology}::")) && !line.trim_start().starts_with("//"));
            if uses && !behind {
                offences.push(format!("{} uses {technology}", path.display()));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn hosts_change_the_database_by_its_functions_only() {
    let changes = |line: &str| ["INSERT INTO ", "DELETE FROM ", " SET "].iter().any(|verb| line.contains(verb));
    let offences =
        host_files().into_iter().filter(|(path, _)| path.starts_with("host/src/store/")).flat_map(|(path, text)| {
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//") && changes(line));
            lines.map(|line| format!("{}: {}", path.display(), line.trim())).collect::<Vec<_>>()
        });
    assert_none(offences.collect());
}

#[test]
fn a_word_of_the_wit_has_its_file_in_four_places() {
    let interfaces = files(&["wit"]).into_iter().map(|(path, _)| path.file_stem().expect("a name").to_owned());
    let mut missing = Vec::new();
    for interface in interfaces {
        let name = interface.to_str().expect("plain");
        if ["world", "types"].contains(&name) {
            continue;
        }
        // The export is called by `run/`, not by an import.
        let host =
            if name == "program" { "host/src/run/guest.rs".to_owned() } else { format!("host/src/imports/{name}.rs") };
        for place in [host, format!("guest-sdk/rust/src/{name}.rs"), format!("tests/imports/{name}.rs")] {
            if !repository().join(&place).exists() {
                missing.push(format!("wit/{name}.wit has no {place}"));
            }
        }
    }
    assert_none(missing);
}

#[test]
fn every_item_of_the_wit_says_what_it_is_and_since_when() {
    let starts = ["interface ", "world ", "type ", "record ", "variant ", "enum ", "resource "];
    let mut offences = Vec::new();
    for (path, text) in files(&["wit"]) {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            let is_item = starts.iter().any(|start| line.starts_with(start)) || line.contains(": func(");
            let is_case = line.ends_with(',') && !line.starts_with("use ") && !line.starts_with("//");
            let above = number.checked_sub(1).map(|above| lines[above]).unwrap_or_default();
            if is_item && !above.starts_with("@since(") {
                offences.push(format!("{}:{}: no @since: {line}", path.display(), number + 1));
            }
            let above =
                if is_item { number.checked_sub(2).map(|above| lines[above]).unwrap_or_default() } else { above };
            if (is_item || is_case) && !above.starts_with("///") {
                offences.push(format!("{}:{}: no word about it: {line}", path.display(), number + 1));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn migrations_are_numbered_without_gaps_and_say_what_they_are_for() {
    let mut migrations: Vec<_> =
        files(&["sql"]).into_iter().filter(|(path, _)| path.starts_with("migrations")).collect();
    migrations.sort();
    let mut offences = Vec::new();
    for (number, (path, text)) in migrations.iter().enumerate() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with(&format!("{:04}_", number + 1)) {
            offences.push(format!("{name} should be number {}", number + 1));
        }
        if !text.starts_with("-- ") {
            offences.push(format!("{name} does not say what it is for"));
        }
        for forbidden in ["EXECUTE format", "CREATE TRIGGER", "REFERENCES ", "jsonb NOT NULL"] {
            // Names of roles and their tables, of the archive's tables, and of the schema itself.
            let named = ["_tenants.sql", "_retention.sql", "_archive.sql", "_drop_installation.sql"];
            let is_allowed = forbidden == "EXECUTE format" && named.iter().any(|ending| name.ends_with(ending));
            if text.contains(forbidden) && !is_allowed {
                offences.push(format!("{name}: {forbidden}"));
            }
        }
    }
    assert_none(offences);
}

#[test]
fn codes_of_the_database_are_listed_and_have_a_variant() {
    let text: String = files(&["sql"]).into_iter().map(|(_, text)| text).collect();
    // Those of our own.
    let raised = text.split("ERRCODE = '").skip(1).map(|rest| rest[..5].to_owned());
    let raised: BTreeSet<_> = raised.filter(|code| code.starts_with("WL")).collect();
    let readme = fs::read_to_string(repository().join("migrations/README.md")).expect("a list");
    let error = fs::read_to_string(repository().join("host/src/store/error.rs")).expect("variants");
    let known = |code: &&String| readme.contains(&format!("`{code}`")) && error.contains(&format!("\"{code}\" =>"));
    assert!(raised.len() >= 7 && raised.iter().all(|code| known(&code)), "{raised:?}");
}

#[test]
fn every_promise_names_tests_that_are_there() {
    let semantics = fs::read_to_string(repository().join("docs/semantics.md")).expect("the promises");
    let sources = files(&["rs"]);
    let mut offences = Vec::new();
    let promises = semantics.split("\n- ").skip(1).map(|rest| rest.split("\n\n").next().unwrap_or_default());
    for promise in promises {
        let named: Vec<_> = promise.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs:")).collect();
        if named.is_empty() {
            offences.push(format!("no test: {promise}"));
        }
        for (file, test) in named {
            // Tests of what is pure stand beside it.
            let (files, test) =
                (["tests", "host/src"].map(|at| format!("{at}/{file}.rs")), format!("fn {}()", test.trim()));
            let is_there = |path: &Path| files.iter().any(|file| path.ends_with(file));
            if !sources.iter().any(|(path, text)| is_there(path) && text.contains(&test)) {
                offences.push(format!("{file} has no {test}"));
            }
        }
    }
    assert!(semantics.matches("\n- ").count() > 30);
    assert_none(offences);
}

#[test]
fn every_error_code_is_in_the_list_of_error_codes() {
    let list = fs::read_to_string(repository().join("docs/errors.md")).expect("a list");
    let makers = [
        "Violation::new(\"",
        "Rejection::new(\"",
        "Failure::new(\"",
        "code: \"",
        "Failure::retryable(\"",
        "Failure::fatal(\"",
        ", \"guest-",
        "=> (\"",
    ];
    let mut missing = BTreeSet::new();
    let sources = files(&["rs"])
        .into_iter()
        .filter(|(path, _)| path.starts_with("host/src") || path.starts_with("guest-sdk/rust/src"));
    for (path, text) in sources {
        // Examples in the documentation make codes of their own.
        let code: String =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for found in makers.iter().flat_map(|maker| code.split(maker).skip(1)) {
            let word = found.split('"').next().unwrap_or_default();
            let is_code = !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'-');
            if is_code && !list.contains(&format!("`{word}`")) && !list.contains(&format!("`guest-{word}`")) {
                missing.insert(format!("{word} ({})", path.display()));
            }
        }
    }
    assert_none(missing.into_iter().collect());
}

#[test]
fn a_result_that_is_dropped_says_why() {
    let dropped = "let _".to_owned() + " = ";
    let mut offences = Vec::new();
    for (path, text) in host_files() {
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let reason = line.contains("//")
                || number.checked_sub(1).is_some_and(|above| lines[above].trim_start().starts_with("//"));
            if line.contains(&dropped) && !reason {
                offences.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert_none(offences);
}
