//! The examples do what their READMEs say: every command is run, and what it prints and how it ends are compared.

use regex::Regex;

use crate::harness::database::Database;
use crate::harness::guests::{guest, repository};
use crate::harness::host::{HostProcess, windlass};
use crate::harness::shop::Shop;

/// A command of a README, and what it prints.
struct Shown {
    command: String,
    output: String,
}

fn shown(example: &str) -> Vec<Shown> {
    let readme = std::fs::read_to_string(repository().join(format!("examples/{example}/README.md"))).expect("a README");
    let console =
        readme.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a console block");
    let mut all: Vec<Shown> = Vec::new();
    for line in console.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => all.push(Shown { command: command.to_owned(), output: String::new() }),
            None => all.last_mut().expect("a command before its output").output += &format!("{line}\n"),
        }
    }
    all
}

/// What differs from time to time is the same in both.
fn normal(text: &str) -> String {
    let filters = [
        (RUN_ID, "[RUN]"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", "[TIME]"),
        (r"\d+ ms", "[N] ms"),
        (r"127\.0\.0\.1:\d+", "[HOST]"),
        // How wide a column is depends on how long things took; a README has no blanks at the end of a line.
        (r" +", " "),
        (r"(?m) $", ""),
    ];
    filters.into_iter().fold(text.to_owned(), |text, (pattern, name)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, name).into_owned()
    })
}

const RUN_ID: &str = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

/// Words as a shell would see them: single quotes keep words together.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().expect("never empty").push(c),
        }
    }
    words
}

/// Run what the README shows, in a namespace where nothing has happened yet.
async fn does_what_its_readme_says(example: &str) {
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    let shop = Shop::open(2).await;
    let built = format!("examples/target/wasm32-wasip2/release/{example}.wasm");
    let run_ids = Regex::new(RUN_ID).expect("a pattern");
    let mut run_id = String::new();
    let mut ran = 0;
    let mut shown = shown(example).into_iter().peekable();
    while let Some(Shown { command, output }) = shown.next() {
        // A command that is to fail is followed by a look at its exit code, as in a shell.
        let echo = shown.next_if(|next| next.command == "echo $?");
        let code = echo.map_or(0, |echo| echo.output.trim().parse().expect("an exit code"));
        let Some(command) = command.strip_prefix("windlass ") else {
            // The harness builds all guests, in a folder of their own.
            assert!(command.starts_with("cargo build --release --target wasm32-wasip2"), "{command}");
            continue;
        };
        let command =
            command.replace(&built, guest(example).to_str().expect("a path")).replace("127.0.0.1:8080", &shop.address);
        let command = run_ids.replace_all(&command, run_id.as_str()).into_owned();
        let words = words(&command);
        let done = windlass(&host.server, &words.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(done.code, Some(code), "{command}: {}{}", done.stdout, done.stderr);
        assert_eq!(normal(&done.stdout), normal(&output), "{command}");
        if let Some(found) = run_ids.find(&done.stdout) {
            found.as_str().clone_into(&mut run_id);
        }
        ran += 1;
    }
    assert!(ran >= 2, "only {ran} commands");
    assert!(shop.ledger().values().all(|entry| entry.effects == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hello_does_what_its_readme_says() {
    does_what_its_readme_says("hello").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_does_what_its_readme_says() {
    does_what_its_readme_says("order").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trip_does_what_its_readme_says() {
    does_what_its_readme_says("trip").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn census_does_what_its_readme_says() {
    does_what_its_readme_says("census").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approval_does_what_its_readme_says() {
    does_what_its_readme_says("approval").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watcher_does_what_its_readme_says() {
    does_what_its_readme_says("watcher").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overnight_does_what_its_readme_says() {
    does_what_its_readme_says("overnight").await;
}

/// The README of the whole shows the smallest workflow: it is the one in `examples/hello`.
#[test]
fn the_readme_shows_the_workflow_of_examples_hello() {
    let readme = std::fs::read_to_string(repository().join("README.md")).expect("a README");
    let hello = std::fs::read_to_string(repository().join("examples/hello/src/lib.rs")).expect("the example");
    let code = readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Rust");
    assert!(hello.ends_with(code), "README.md:\n{code}\nexamples/hello/src/lib.rs:\n{hello}");
}
