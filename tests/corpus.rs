//! `cargo hostile`: every guest and every upload of `tests/hostile` against one host in a process of its own. Each must come to its verdict,
//! the host must live, its memory must not grow, and an honest neighbour must hardly notice. `cargo hostile NAME…`: only these guests,
//! again and again.

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
#[path = "hostile/rust.rs"]
mod rust;
#[path = "hostile/uploads_case.rs"]
mod uploads_case;
#[path = "hostile/uploads_programs.rs"]
mod uploads_programs;
#[path = "hostile/uploads_shapes.rs"]
mod uploads_shapes;
#[path = "hostile/values.rs"]
mod values;

use std::collections::BTreeMap;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt as _, stream};
use harness::api::Api;
use harness::database::Database;
use harness::guests::guest_bytes;
use harness::host::HostProcess;
use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Hostile guests at a time.
const AT_ONCE: usize = 4;

/// Hostile uploads at a time.
const UPLOADS_AT_ONCE: usize = 2;

/// How often those that are named have their turn.
const AGAIN: usize = 40;

/// Requests of the honest neighbour while it is alone: a machine that stalls for a moment now and then does so here, too.
const ALONE: usize = 1_000;

/// By how much the host's memory may grow.
const GROWTH_MAX_MIB: f64 = 64.0;

/// How much longer the neighbour may wait: by this factor, and by a commit of others and some slices of guests that the host does not
/// know yet.
const SLOWER_MAX: (f64, Duration) = (2.0, Duration::from_millis(25));

/// What the neighbour waited for one run, and who was there meanwhile.
type Sample = (Duration, Vec<String>);

/// Who is there now.
type Present = Arc<Mutex<Vec<String>>>;

/// Of the slowest runs of the neighbour, how many are named beside whom they were so slow.
const NAMED: usize = 8;

#[tokio::main]
async fn main() -> ExitCode {
    // In an ordinary run of the tests, the guests that are quick have their turn in `tests/hostile`.
    let arguments: Vec<_> = std::env::args().skip_while(|argument| argument != "all").skip(1).collect();
    if !std::env::args().any(|argument| argument == "all") {
        return ExitCode::SUCCESS;
    }
    let mut corpus = case::corpus();
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
    let mut suite = Suite::new(&corpus).await;
    let mut is_ok = suite.guests(&corpus).await;
    if arguments.is_empty() {
        is_ok &= suite.uploads().await;
    }
    is_ok &= suite.host.ended().is_none() && suite.host.api.answers().await;
    println!("{}", if is_ok { "ok" } else { "FAILED" });
    if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A host, somebody hostile, and an honest neighbour.
struct Suite {
    host: HostProcess,
    hostile: Api,
    present: Present,
}

impl Suite {
    async fn new(corpus: &[case::Case]) -> Self {
        let database = Database::new().await;
        let options = ["--lease", "5s", "--compile-time", "5s", "--compile-memory", "1536"];
        let host = HostProcess::serve(&database, &options).await;
        host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
        let hostile = host.api.in_namespace("hostile");
        let put = hostile.request(Method::PUT, "", case::limits().to_string()).await;
        assert!(put.status().is_success(), "{}", put.text().await.unwrap_or_default());
        let suite = Self { host, hostile, present: Present::default() };
        // Once before it counts: what a host needs anyway is there then, and so is the machine code of all of them.
        let empty = suite.resident_mib();
        for case in corpus {
            // Those that are refused have their turn later.
            let _ = suite.hostile.deploy(case.component(), "").await;
        }
        suite.neighbour(ALONE, &CancellationToken::new()).await;
        println!("the machine code of all guests takes {:.1} MiB of the host", suite.resident_mib() - empty);
        suite
    }

    /// All guests, and whether that went well.
    async fn guests(&self, corpus: &[case::Case]) -> bool {
        let checks = corpus.iter().map(|case| self.noted(case.name, case.check(&self.hostile)));
        let checks = stream::iter(checks).buffer_unordered(AT_ONCE);
        let vectors = corpus.iter().map(|case| case.vector);
        self.beside("guests", vectors, checks).await
    }

    /// All uploads, and whether that went well.
    async fn uploads(&self) -> bool {
        let cases = uploads_case::corpus();
        let checks = cases.iter().map(|case| self.noted(&case.name, case.check(&self.hostile)));
        let checks = stream::iter(checks).buffer_unordered(UPLOADS_AT_ONCE);
        let vectors = cases.iter().map(|case| case.vector);
        self.beside("uploads", vectors, checks).await
    }

    /// Says who is there.
    async fn noted<T>(&self, name: &str, work: impl Future<Output = T>) -> T {
        self.present.lock().expect("a list").push(name.to_owned());
        let done = work.await;
        let mut present = self.present.lock().expect("a list");
        let place = present.iter().position(|there| there == name).expect("it was there");
        present.swap_remove(place);
        done
    }

    /// Whether all come to what they were to come to, and what they do to the host and to the neighbour is within bounds.
    async fn beside(
        &self,
        what: &str,
        vectors: impl Iterator<Item = &'static str>,
        checks: impl Stream<Item = Result<(), String>>,
    ) -> bool {
        let alone = p99(&mut self.neighbour(ALONE, &CancellationToken::new()).await);
        let (before, begun, over) = (self.resident_mib(), Instant::now(), CancellationToken::new());
        let (mut samples, wrong) = tokio::join!(self.neighbour(usize::MAX, &over), async {
            let wrong: Vec<_> = pin!(checks.filter_map(async |result| result.err())).collect().await;
            over.cancel();
            wrong
        });
        let took = begun.elapsed();
        let grown = self.grown_since(before).await;
        let mut counts = BTreeMap::<_, usize>::new();
        vectors.for_each(|vector| *counts.entry(vector).or_default() += 1);
        counts.iter().for_each(|(vector, count)| println!("{vector:30} {count:3} {what}"));
        wrong.iter().for_each(|wrong| println!("WRONG {wrong}"));
        println!("the slowest of the honest runs were beside {}", beside_the_slowest(&mut samples));
        let (number, crowded) = (samples.len(), p99(&mut samples));
        println!(
            "{} {what} over {} vectors in {:.0} s, {} not as expected; the host's memory has grown by {grown:.1} MiB; an honest run \
             took {alone:.1?} alone and {crowded:.1?} beside them (p99 of {number}), {:.1} times as long",
            counts.values().sum::<usize>(),
            counts.len(),
            took.as_secs_f64(),
            wrong.len(),
            crowded.as_secs_f64() / alone.as_secs_f64(),
        );
        wrong.is_empty() && grown <= GROWTH_MAX_MIB && crowded <= alone.mul_f64(SLOWER_MAX.0) + SLOWER_MAX.1
    }

    /// Memory of the host's process.
    fn resident_mib(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "no host has so much")]
        let bytes = self.host.resident_bytes() as f64;
        bytes / f64::from(1 << 20)
    }

    /// By how much the host's memory has grown. The allocator gives back what was freed in its own time, and when it is called.
    async fn grown_since(&self, before: f64) -> f64 {
        for _ in 0..20 {
            if self.resident_mib() - before <= GROWTH_MAX_MIB {
                break;
            }
            self.neighbour(20, &CancellationToken::new()).await;
        }
        self.resident_mib() - before
    }

    /// Starts honest runs, one after the other, and waits for each.
    async fn neighbour(&self, count: usize, over: &CancellationToken) -> Vec<Sample> {
        let there = || self.present.lock().expect("a list").clone();
        let mut took = Vec::new();
        while took.len() < count && !over.is_cancelled() {
            let (begun, mut beside) = (Instant::now(), there());
            let body = json!({ "workflow": "steps", "input": 3 }).to_string();
            let response = self.host.api.request(Method::POST, "/runs?wait=30s", body).await;
            let run: serde_json::Value = response.json().await.expect("a run");
            assert_eq!(run["state"], "completed", "{run}");
            beside.extend(there());
            beside.sort_unstable();
            beside.dedup();
            took.push((begun.elapsed(), beside));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        took
    }
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
