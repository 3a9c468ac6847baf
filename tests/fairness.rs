//! `cargo fairness [SECONDS] [ATTACK]`: eight namespaces that take all they can get, and one that does honest work. It keeps at least
//! four fifths of its fair share: a ninth of what it can do alone, or, where the others do the same work, a ninth of what is done.
//! All on one host, measured in one run.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

mod harness;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use harness::api::Api;
use harness::database::Database;
use harness::guests::guest_bytes;
use harness::host::HostProcess;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const HOSTILE: usize = 8;

/// Requests that each hostile namespace has under way.
const HOSTILE_IN_FLIGHT: usize = 32;

const HONEST_IN_FLIGHT: usize = 64;

/// Of an honest run.
const STEPS: u32 = 5;

/// Of its fair share.
const KEPT_MIN: f64 = 0.8;

/// How long what an attack has left is waited for.
const LEFT_MAX: Duration = Duration::from_secs(5);

/// In an ordinary run of the tests; of each measurement.
const SECONDS_DEFAULT: u64 = 4;

/// Not the name of a workflow.
const SEARCH: &str = "/runs?limit=200&state=completed";

/// What the hostile ones do, all at once, again and again.
const ATTACKS: [(&str, &str, &str); 8] = [
    ("workflows that compute for ever", "spins", "null"),
    ("workflows that take all memory", "grabs", "null"),
    ("steps that compute for ever", "step_breaks", r#""spin""#),
    ("workflows that wait for 10,000 signals", "hoards", "10000"),
    ("workflows that send 100 signals", "spams", "100"),
    ("workflows that log 10,000 lines", "floods", "10000"),
    ("requests that search", SEARCH, "null"),
    ("the same honest work, and much more of it", "steps", "100"),
];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    // Of one attack, or of all.
    let only = arguments.iter().find(|argument| argument.parse::<u64>().is_err()).cloned().unwrap_or_default();
    let seconds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(SECONDS_DEFAULT);
    let time = Duration::from_secs(seconds);
    let database = Database::new().await;
    let host = HostProcess::serve(&database, &[]).await;
    let honest = host.api.clone();
    honest.deploy(guest_bytes("bench"), "").await.expect("deployed");
    let hostile = hostile_namespaces(&database, &host).await;

    // Once without looking: the first runs compile and plan.
    runs_per_second(&honest, time / 4).await;
    let alone = runs_per_second(&honest, time).await;
    println!("alone: {alone:.0} runs/s");
    let mut is_fair = true;
    for (name, workflow, input) in ATTACKS.into_iter().filter(|(name, ..)| name.contains(&only)) {
        let mut attack = JoinSet::new();
        for api in &hostile {
            for _ in 0..HOSTILE_IN_FLIGHT {
                attack.spawn(attack_with(api.clone(), workflow, input));
            }
        }
        tokio::time::sleep(time / 4).await;
        let (before, begun) = (steps(&database).await, Instant::now());
        let beside = runs_per_second(&honest, time).await;
        // What was recorded, whether its run is over or not: theirs are long, and end all at once.
        let all = (steps(&database).await - before) as f64 / begun.elapsed().as_secs_f64() / f64::from(STEPS);
        let fair = if workflow == "steps" { all } else { alone } / (HOSTILE + 1) as f64;
        let share = beside / fair;
        println!("{name}: {:.0} % of the fair share ({beside:.0} of {fair:.0} runs/s)", share * 100.0);
        is_fair &= share >= KEPT_MIN;
        attack.shutdown().await;
        until_over(&database).await;
    }
    if is_fair { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What an attack has begun and not ended is not the next one's: each is measured by itself. If it takes for ever, the next one shows it.
async fn until_over(database: &Database) {
    let begun = Instant::now();
    let left = "SELECT (SELECT count(*) FROM owned WHERE namespace LIKE 'hostile-%')
                     + (SELECT count(*) FROM ready WHERE namespace LIKE 'hostile-%')";
    while database.count(left).await > 0 && begun.elapsed() < LEFT_MAX {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn hostile_namespaces(database: &Database, host: &HostProcess) -> Vec<Api> {
    let mut hostile = Vec::new();
    for number in 0..HOSTILE {
        let namespace = format!("hostile-{number}");
        let insert = format!("INSERT INTO namespaces (namespace) VALUES ('{namespace}') RETURNING namespace");
        database.text(&insert).await;
        let api = host.api.in_namespace(&namespace);
        api.deploy(guest_bytes("rogue"), "").await.expect("deployed");
        api.deploy(guest_bytes("bench"), "").await.expect("deployed");
        hostile.push(api);
    }
    hostile
}

/// Runs of five steps that end within this time.
async fn runs_per_second(api: &Api, time: Duration) -> f64 {
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..HONEST_IN_FLIGHT {
        let api = api.clone();
        clients.spawn(async move {
            let mut ended = 0u32;
            while begun.elapsed() < time {
                ended += u32::from(end_of(&api, "steps", &json!(STEPS)).await);
            }
            ended
        });
    }
    let ended: u32 = clients.join_all().await.into_iter().sum();
    f64::from(ended) / begun.elapsed().as_secs_f64()
}

async fn steps(database: &Database) -> i64 {
    database.count("SELECT count(*) FROM events WHERE kind = 0").await
}

async fn attack_with(api: Api, workflow: &'static str, input: &'static str) {
    let input: Value = serde_json::from_str(input).expect("JSON");
    loop {
        if workflow == SEARCH {
            drop(api.request(Method::GET, SEARCH, "").await.bytes().await);
        } else {
            end_of(&api, workflow, &input).await;
        }
    }
}

/// Whether a run has ended well. Who attacks does not mind.
async fn end_of(api: &Api, workflow: &str, input: &Value) -> bool {
    let body = json!({ "workflow": workflow, "input": input }).to_string();
    let response = api.request(Method::POST, "/runs?wait=30s", body).await;
    let run: Value = response.json().await.unwrap_or_default();
    run["state"] == "completed"
}
