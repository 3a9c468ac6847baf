//! `cargo demo`: an order is taken through to its receipt, although its host is killed half way.

#![expect(clippy::print_stdout, reason = "this is what the demo is for")]

mod harness;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use harness::guests::guest;
use harness::host::{HostProcess, WINDLASS, windlass};
use harness::shop::Shop;
use harness::{api::document, eventually};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> ExitCode {
    // A test runner may pass arguments that are not for us, such as --list.
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let folder = std::env::temp_dir().join(format!("windlass-demo-{}", std::process::id()));
    let is_exactly_once = demo(&folder).await;
    // Nothing of the demo is worth keeping.
    let _ = std::fs::remove_dir_all(&folder);
    if is_exactly_once { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns whether every effect is there exactly once.
async fn demo(folder: &Path) -> bool {
    let order = step("building the component examples/order (untrusted code, to WebAssembly)", async {
        tokio::task::spawn_blocking(|| guest("order")).await.expect("built")
    })
    .await;
    let shop = Shop::open(2).await;
    say(&format!("a shop is open at {} (its carrier is away the first two times)", shop.url()));

    let mut host = step("starting a host with a Postgres of its own", start_host(folder)).await;
    run(&host, &["deploy", path(&order), "--grant-http", &shop.address]).await;
    let input = json!({ "id": "A-17", "item": "tea", "cents": 450, "shop": shop.url() }).to_string();
    let run_id = run(&host, &["start", "order", "--input", &input]).await.trim().to_owned();

    let follower = follow(&host, &run_id);
    host.api.wait_for_events(&run_id, 2).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    host.kill();
    drop(follower);
    say("the host was killed with SIGKILL between two steps, and its Postgres went with it");

    host = step("starting it again", start_host(folder)).await;
    let follower = follow(&host, &run_id);
    eventually("the order waits for approval", async || {
        let state = host.api.get(&format!("/runs/{run_id}/state")).await;
        (state["values"]["status"]["value"] == "waiting for approval").then_some(())
    })
    .await;
    run(&host, &["signal", &run_id, "approval", r#"{"approved":true,"by":"Ada"}"#]).await;
    let ended = host.api.end(&run_id).await;
    drop(follower);

    run(&host, &["get", &run_id]).await;
    run(&host, &["history", &run_id]).await;
    let receipt = document(&ended);
    let is_right = ended.result.is_some() && receipt["order"] == "A-17" && receipt["approved_by"] == "Ada";
    print_ledger(&shop, is_right, &receipt)
}

async fn start_host(folder: &Path) -> HostProcess {
    let mut command = Command::new(WINDLASS);
    command.args(["dev", "--data-dir", path(folder)]).env_remove("DATABASE_URL");
    HostProcess::start(command).await
}

/// The run's life, as it happens, from a process of its own.
struct Follower(std::process::Child);

impl Drop for Follower {
    fn drop(&mut self) {
        // It has told what it saw.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn follow(host: &HostProcess, run_id: &str) -> Follower {
    println!("$ windlass history --follow {run_id}");
    let mut command = Command::new(WINDLASS);
    command.args(["history", "--follow", run_id]).env("WINDLASS_SERVER", &host.server);
    Follower(command.stderr(Stdio::null()).spawn().expect("it runs"))
}

/// Run a command as a person would, and show it.
async fn run(host: &HostProcess, arguments: &[&str]) -> String {
    let shown: Vec<_> = arguments.iter().map(|argument| shown(argument)).collect();
    println!("$ windlass {}", shown.join(" "));
    let ran = windlass(&host.server, arguments).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    println!("{}", ran.stdout.trim_end());
    ran.stdout
}

fn shown(argument: &str) -> String {
    let short = Path::new(argument).file_name().filter(|_| argument.starts_with('/')).and_then(|name| name.to_str());
    match short {
        Some(name) => name.to_owned(),
        None if argument.contains('"') => format!("'{argument}'"),
        None => argument.to_owned(),
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn print_ledger(shop: &Shop, is_right: bool, receipt: &Value) -> bool {
    println!(
        "\nthe shop's ledger\n {:10} {:46} {:>8} {:>8} {:>7}",
        "SERVICE", "IDEMPOTENCY KEY", "REQUESTS", "REFUSED", "EFFECTS"
    );
    let ledger = shop.ledger();
    for (key, entry) in &ledger {
        println!(" {:10} {key:46} {:>8} {:>8} {:>7}", entry.service, entry.requests, entry.refused, entry.effects);
    }
    let services: Vec<_> = ledger.values().map(|entry| (&*entry.service, entry.effects)).collect();
    let mut expected = vec![("payments", 1), ("shipments", 1), ("stock", 1)];
    expected.retain(|service| services.contains(service));
    let is_exactly_once = is_right && expected.len() == 3 && services.len() == 3;
    if is_exactly_once {
        println!("\nok: one reservation, one payment, one shipment: every effect is there exactly once");
    } else {
        println!("\nFAILED: {services:?}, receipt {receipt}");
    }
    is_exactly_once
}

/// Do something that takes a while, and say how long it took.
async fn step<T>(what: &str, work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    say(&format!("{what}: {:.1} s", begun.elapsed().as_secs_f64()));
    done
}

fn say(text: &str) {
    println!("\n» {text}");
}
