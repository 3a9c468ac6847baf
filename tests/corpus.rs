//! `cargo hostile`: every guest of `tests/hostile` against one host in a process of its own. Each must come to its verdict, the host
//! must live, its memory must not grow, and an honest neighbour must hardly notice. `cargo hostile NAME…`: only these, again and again.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

mod harness;

#[path = "hostile/calls.rs"]
mod calls;
#[path = "hostile/case.rs"]
mod case;
#[path = "hostile/component.rs"]
mod component;
#[path = "hostile/escapes.rs"]
mod escapes;
#[path = "hostile/resources.rs"]
mod resources;
#[path = "hostile/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use harness::api::Api;
use harness::database::Database;
use harness::guests::guest_bytes;
use harness::host::HostProcess;
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Hostile guests at a time.
const AT_ONCE: usize = 4;

/// How often those that are named have their turn.
const AGAIN: usize = 40;

/// Requests of the honest neighbour while it is alone.
const ALONE: usize = 300;

/// By how much the host's memory may grow.
const GROWTH_MAX_MIB: f64 = 64.0;

/// How much longer the neighbour may wait: by this factor, and by a commit of others and some slices of guests that the host does not
/// know yet.
const SLOWER_MAX: (f64, Duration) = (2.0, Duration::from_millis(25));

/// What the neighbour waited for one run, and the guests that were there meanwhile.
type Sample = (Duration, Vec<&'static str>);

/// The guests that are there now.
type Present = Arc<Mutex<Vec<&'static str>>>;

/// Of the slowest runs of the neighbour, how many guests are named beside which they were so slow.
const NAMED: usize = 8;

#[tokio::main]
async fn main() -> ExitCode {
    // In an ordinary run of the tests, the guests that are quick have their turn in `tests/hostile`.
    let arguments: Vec<_> = std::env::args().skip_while(|argument| argument != "all").skip(1).collect();
    if !std::env::args().any(|argument| argument == "all") {
        return ExitCode::SUCCESS;
    }
    let mut corpus = [resources::CASES, calls::CASES, values::CASES, escapes::CASES].concat();
    if let Some(unknown) = arguments.iter().find(|name| corpus.iter().all(|case| case.name != **name)) {
        println!("there is no guest {unknown}");
        return ExitCode::FAILURE;
    }
    if !arguments.is_empty() {
        corpus.retain(|case| arguments.iter().any(|name| name == case.name));
        corpus = corpus.repeat(AGAIN);
    }
    // What takes long goes first: the others have their turn meanwhile.
    corpus.sort_by_key(|case| !case.is_slow);
    let database = Database::new().await;
    let mut host = HostProcess::serve(&database, &["--lease", "5s"]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let mut hostile = Api::new(&host.server);
    hostile.base = format!("{}/v1/namespaces/hostile", host.server);
    let put = hostile.request(Method::PUT, "", case::limits().to_string()).await;
    assert!(put.status().is_success(), "{}", put.text().await.unwrap_or_default());

    // Once before it counts: what a host needs anyway is there then, and so is the machine code of all of them.
    let empty = resident_mib(&host);
    for case in &corpus {
        // Those that are refused have their turn later.
        let _ = hostile.deploy(case.guest.component(case.name), "").await;
    }
    let present = Present::default();
    neighbour(&host.api, ALONE, &CancellationToken::new(), &present).await;
    let mut alone = neighbour(&host.api, ALONE, &CancellationToken::new(), &present).await;
    let alone = p99(&mut alone);
    let (before, begun) = (resident_mib(&host), Instant::now());
    let over = CancellationToken::new();
    let (there, api) = (&present, &hostile);
    let (mut crowded, wrong) = tokio::join!(neighbour(&host.api, usize::MAX, &over, &present), async {
        let check = |case| async move {
            let case: &case::Case = case;
            there.lock().expect("a list").push(case.name);
            let checked = case.check(api).await;
            there.lock().expect("a list").retain(|name| *name != case.name);
            checked
        };
        let checks = stream::iter(&corpus).map(check).buffer_unordered(AT_ONCE);
        let wrong: Vec<_> = checks.filter_map(async |result| result.err()).collect().await;
        over.cancel();
        wrong
    });
    let (code, grown, samples) = (before - empty, resident_mib(&host) - before, crowded.len());
    let slowest = beside_the_slowest(&mut crowded);
    let crowded = p99(&mut crowded);

    let mut vectors = BTreeMap::<_, usize>::new();
    corpus.iter().for_each(|case| *vectors.entry(case.vector).or_default() += 1);
    vectors.iter().for_each(|(vector, guests)| println!("{vector:30} {guests:3} guests"));
    wrong.iter().for_each(|wrong| println!("WRONG {wrong}"));
    println!("the slowest of the honest runs were beside {slowest}");
    let slower = crowded.as_secs_f64() / alone.as_secs_f64();
    println!(
        "{} guests over {} vectors in {:.0} s, {} not as expected; the host's memory has grown by {code:.1} MiB \
         for their code and by {grown:.1} MiB for what they did; an honest run took \
         {alone:.1?} alone and {crowded:.1?} beside them (p99 of {samples}), {slower:.1} times as long",
        corpus.len(),
        vectors.len(),
        begun.elapsed().as_secs_f64(),
        wrong.len(),
    );
    let lives = host.ended().is_none() && host.api.answers().await;
    let is_ok =
        lives && wrong.is_empty() && grown <= GROWTH_MAX_MIB && crowded <= alone.mul_f64(SLOWER_MAX.0) + SLOWER_MAX.1;
    println!("{}", if is_ok { "ok" } else { "FAILED" });
    if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts honest runs, one after the other, and waits for each.
async fn neighbour(api: &Api, count: usize, over: &CancellationToken, present: &Present) -> Vec<Sample> {
    let mut took = Vec::new();
    while took.len() < count && !over.is_cancelled() {
        let (begun, mut beside) = (Instant::now(), present.lock().expect("a list").clone());
        let body = json!({ "workflow": "steps", "input": 3 }).to_string();
        let response = api.request(Method::POST, "/runs?wait=30s", body).await;
        let run: serde_json::Value = response.json().await.expect("a run");
        assert_eq!(run["state"], "completed", "{run}");
        beside.extend(present.lock().expect("a list").iter());
        beside.sort_unstable();
        beside.dedup();
        took.push((begun.elapsed(), beside));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took
}

fn p99(took: &mut [Sample]) -> Duration {
    took.sort();
    took[(took.len() * 99 / 100).min(took.len() - 1)].0
}

/// The guests that were most often there when the neighbour waited longest.
fn beside_the_slowest(took: &mut [Sample]) -> String {
    took.sort();
    let mut times = BTreeMap::<_, usize>::new();
    took[took.len() * 99 / 100..]
        .iter()
        .flat_map(|(_, beside)| beside)
        .for_each(|name| *times.entry(name).or_default() += 1);
    let mut times: Vec<_> = times.into_iter().map(|(name, times)| (times, name)).collect();
    times.sort_by(|one, other| other.cmp(one));
    times.iter().take(NAMED).map(|(times, name)| format!("{name} ({times})")).collect::<Vec<_>>().join(", ")
}

/// Memory of the host's process.
fn resident_mib(host: &HostProcess) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.pid().as_raw_nonzero())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}
