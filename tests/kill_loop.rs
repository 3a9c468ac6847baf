//! `cargo kill-loop [ROUNDS]`: SIGKILL at random moments under 50 live runs. Nothing is lost, nothing is recorded twice, and
//! nothing is sent after its result was recorded.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

mod harness;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::api::{document, http};
use harness::database::Database;
use harness::guests::guest_bytes;
use harness::host::HostProcess;
use harness::shop::Shop;
use rand::RngExt as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _};
use tokio::sync::{Mutex, watch};
use windlass_host::api::view::RunView;
use windlass_host::model::RunState;

const LIVE_RUNS: usize = 50;
const HOSTS: usize = 2;

/// In an ordinary run of the tests.
const ROUNDS_DEFAULT: u32 = 10;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let rounds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS_DEFAULT);
    let database = Database::new().await;
    let late = Arc::new(AtomicU64::new(0));
    let shop = Shop::open_watched(1, Some(late_requests(&database, late.clone()))).await;
    let servers = watch::Sender::new(Vec::new());
    let loop_ = KillLoop { database, shop, servers, http: http(), finished: Mutex::default() };
    let begun = Instant::now();
    loop_.run(rounds).await;
    let verdict = loop_.judge(late.load(Ordering::SeqCst)).await;
    println!("{rounds} kills in {:.0} s, {verdict}", begun.elapsed().as_secs_f64());
    if verdict.starts_with("ok") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct KillLoop {
    database: Database,
    shop: Shop,
    /// Where the hosts are that are alive.
    servers: watch::Sender<Vec<String>>,
    /// One for all: to make one takes milliseconds.
    http: reqwest::Client,
    finished: Mutex<Vec<(String, Result<(), String>)>>,
}

/// Counts requests that come when the result of their call is recorded already.
fn late_requests(database: &Database, late: Arc<AtomicU64>) -> harness::shop::Watch {
    let database = database.clone();
    Box::new(move |key| {
        let (database, late) = (database.clone(), late.clone());
        Box::pin(async move {
            let mut parts = key.split('/').skip(1);
            let (run, call) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let recorded = format!("SELECT count(*) FROM events WHERE run_id = '{run}' AND call = {call}");
            late.fetch_add(database.count(&recorded).await.unsigned_abs(), Ordering::SeqCst);
        })
    })
}

impl KillLoop {
    async fn host(&self) -> HostProcess {
        HostProcess::serve(&self.database, &["--lease", "2s", "--park-after", "50ms", "--strikes", "0"]).await
    }

    fn tell(&self, hosts: &[HostProcess]) {
        self.servers.send_replace(hosts.iter().map(|host| host.server.clone()).collect());
    }

    async fn run(&self, rounds: u32) {
        let mut hosts = Vec::new();
        for _ in 0..HOSTS {
            hosts.push(self.host().await);
        }
        hosts[0].api.deploy(guest_bytes("probe"), &self.shop.address).await.expect("deployed");
        self.tell(&hosts);
        let (stop, stopped) = watch::channel(false);
        let (killing, ()) = tokio::join!(self.kill(rounds, hosts, stop), async {
            let mut clients = Vec::new();
            for number in 0..LIVE_RUNS {
                clients.push(self.client(number, stopped.clone()));
            }
            futures_util::future::join_all(clients).await;
        });
        drop(killing);
    }

    /// Kill one host after another, and put another in its place.
    async fn kill(&self, rounds: u32, mut hosts: Vec<HostProcess>, stop: watch::Sender<bool>) -> Vec<HostProcess> {
        for round in 0..rounds {
            let (wait, victim) = {
                let mut random = rand::rng();
                (Duration::from_millis(random.random_range(20..700)), random.random_range(0..HOSTS))
            };
            tokio::time::sleep(wait).await;
            hosts[victim].kill();
            hosts[victim] = self.host().await;
            self.tell(&hosts);
            if (round + 1) % 10 == 0 {
                println!("{} kills, {} runs have ended", round + 1, self.finished.lock().await.len());
            }
        }
        stop.send_replace(true);
        hosts
    }

    /// Start runs, one after the other, see each to its end.
    async fn client(&self, number: usize, stopped: watch::Receiver<bool>) {
        let mut round = 0;
        while !*stopped.borrow() {
            let key = format!("{number}-{round}");
            let ended = self.one_run(&key, (number + round).is_multiple_of(2)).await;
            self.finished.lock().await.push((key, ended));
            round += 1;
        }
    }

    async fn one_run(&self, key: &str, is_mixed: bool) -> Result<(), String> {
        let purchase = json!({ "id": key, "shop": self.shop.url(), "posts": 3, "pause_ms": 120 });
        let workflow = if is_mixed { "mixed" } else { "buy" };
        let body = json!({ "workflow": workflow, "input": purchase });
        let run: RunView = self.ask(reqwest::Method::POST, "/runs", key, &body).await;
        let path = format!("/runs/{}", run.run_id);
        if is_mixed {
            let _: Value =
                self.ask(reqwest::Method::POST, &format!("{path}/signals/approval"), key, &json!("yes")).await;
        }
        loop {
            let run: RunView = self.ask(reqwest::Method::GET, &format!("{path}?wait=2s"), key, &Value::Null).await;
            if run.closed_at.is_none() && run.report.is_none() {
                continue;
            }
            let paid = format!("pay-{key}");
            let expected =
                if is_mixed { json!([paid, paid, 42, format!("{paid} yes")]) } else { json!([paid, paid, paid]) };
            return if run.state == RunState::Completed && document(&run) == expected {
                Ok(())
            } else {
                Err(format!("{} is {}: {}", run.run_id, run.state.as_str(), document(&run)))
            };
        }
    }

    /// Ask any host until one answers.
    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: reqwest::Method,
        path: &str,
        key: &str,
        body: &Value,
    ) -> T {
        loop {
            let server = {
                let servers = self.servers.borrow();
                servers[rand::rng().random_range(0..servers.len())].clone()
            };
            let request = self.http.request(method.clone(), format!("{server}/v1/namespaces/default{path}"));
            let request = request.header("Idempotency-Key", key).timeout(Duration::from_secs(10)).json(body);
            if let Ok(response) = request.send().await {
                // Whatever is sent again is accepted again: a host that is up has nothing to refuse.
                let status = response.status();
                assert!(!status.is_client_error(), "{path}: {status}");
                if let Ok(answer) = response.json().await
                    && status.is_success()
                {
                    return answer;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn judge(&self, late: u64) -> String {
        let finished = self.finished.lock().await;
        let wrong: Vec<_> = finished.iter().filter_map(|(_, ended)| ended.as_ref().err()).collect();
        let mut session = self.database.session().await;
        // The key of `events` keeps two of one number out; here: each call has one outcome, and there are no gaps.
        let twice: i64 = count(&mut session, "SELECT count(*) - count(DISTINCT (run_id, call)) FROM events").await;
        let gaps =
            "SELECT count(*) FROM (SELECT max(seq) + 1 - count(*) AS gap FROM events GROUP BY run_id) g WHERE gap <> 0";
        let gaps = count(&mut session, gaps).await;
        let events = count(&mut session, "SELECT count(*) FROM events").await;
        let left = "SELECT (SELECT count(*) FROM owned) + (SELECT count(*) FROM ready) + (SELECT count(*) FROM parked)
                    + (SELECT count(*) FROM inbox) + (SELECT count(*) FROM runs WHERE state = 0)";
        let left = count(&mut session, left).await;
        session.close().await.expect("closed");
        let ledger = self.shop.ledger();
        let lost = finished.len() * 3 - ledger.len();
        let requests: u32 = ledger.values().map(|entry| entry.requests).sum();
        let is_ok = wrong.is_empty() && (twice, gaps, left, lost, late) == (0, 0, 0, 0, 0);
        let verdict =
            if is_ok { "ok".to_owned() } else { format!("FAILED ({left} rows left, {gaps} gaps, {wrong:?})") };
        format!(
            "{verdict}: {} runs, {events} events; {lost} effects lost, {twice} recorded twice, {late} sent after their result was \
             recorded; {} of {requests} requests were repetitions of attempts that a kill had cut",
            finished.len(),
            requests as usize - ledger.len(),
        )
    }
}

async fn count(session: &mut sqlx::PgConnection, query: &'static str) -> i64 {
    sqlx::query(query).fetch_one(session).await.expect(query).get(0)
}
