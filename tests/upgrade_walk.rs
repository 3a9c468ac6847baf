//! `cargo upgrade-walk [STEPS]`: a component goes to and fro between versions, at random, under 500 live runs and random SIGKILLs. Every
//! run ends, on a version whose calls it has made, each of them once; nothing is lost, and nothing is quarantined.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

mod harness;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use harness::api::{document, http};
use harness::database::Database;
use harness::guests::guest_bytes;
use harness::host::HostProcess;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use windlass_host::api::RunPage;
use windlass_host::api::view::RunView;
use windlass_host::model::{RunId, RunState};

/// Runs that are live all the time, and steps of the walk: as it is documented, and as a part of the tests.
const WHOLE: (usize, u32) = (500, 20);
const SLICE: (usize, u32) = (60, 6);

const HOSTS: usize = 2;

/// Those who bring runs forward.
const CLIENTS: usize = 24;

/// Families of programs. What is of one family makes the same calls, and one more at its end; what is of another makes others from the
/// first on, so that no run can be moved there.
const FAMILIES: [&str; 3] = ["s1;g0;s2t1;g1;s3;g2", "r1;g0;r2t1;g1;r3;g2", "s9s1;g0;t2;g1;s4;g2"];

/// Signals that each waits for, one after the other.
const GATES: [&str; 3] = ["0", "1", "2"];

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let is_whole = arguments.iter().any(|argument| argument == "whole");
    let (live, steps) = if is_whole { WHOLE } else { SLICE };
    // In a part of the walk only this is certain, however busy the machine is: each client starts a run before the first step.
    let least = if is_whole { live } else { live.min(CLIENTS) };
    let steps = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(steps);
    let walk = Walk {
        database: Database::new().await,
        servers: watch::Sender::new(Vec::new()),
        http: http(),
        programs: Mutex::default(),
        finished: Mutex::default(),
    };
    let begun = Instant::now();
    let walked = walk.run(live, steps).await;
    let verdict = walk.judge(&walked, least).await;
    println!("{verdict}, in {:.0} s", begun.elapsed().as_secs_f64());
    if verdict.starts_with("ok") { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Walk {
    database: Database,
    /// Where the hosts are that are alive.
    servers: watch::Sender<Vec<String>>,
    http: reqwest::Client,
    /// The program of each version, and its family.
    programs: Mutex<BTreeMap<u32, (usize, String)>>,
    /// Each run, what is wrong with it if anything is, and whether it was moved.
    finished: Mutex<Vec<(RunView, Option<String>)>>,
}

/// What was done.
#[derive(Debug, Default)]
struct Walked {
    kills: u32,
    steps: BTreeMap<&'static str, u32>,
    moved: usize,
    stayed: usize,
    /// Runs that were to stay and were not told so, or the other way round.
    astray: Vec<String>,
}

impl Walked {
    /// What should have been done and was not: a walk without it shows nothing.
    fn missing(&self, ended: usize, least: usize) -> Vec<String> {
        let is_done = |what: &str| self.steps.contains_key(what);
        [
            (self.kills > 0, "a kill".to_owned()),
            (is_done("upgrade"), "an upgrade".to_owned()),
            (is_done("rollback") || is_done("migrate"), "a rollback or a migration".to_owned()),
            (ended >= least, format!("{} of {least} runs", least.saturating_sub(ended))),
        ]
        .into_iter()
        .filter_map(|(is_there, what)| (!is_there).then_some(what))
        .collect()
    }
}

/// A run, and the next of its signals.
struct Going {
    run: String,
    version: u32,
    next: usize,
}

impl Walk {
    async fn host(&self) -> HostProcess {
        HostProcess::serve(&self.database, &["--lease", "2s", "--park-after", "50ms", "--strikes", "0"]).await
    }

    async fn run(&self, live: usize, steps: u32) -> Walked {
        let mut hosts = Vec::new();
        for _ in 0..HOSTS {
            hosts.push(self.host().await);
        }
        self.tell(&hosts);
        let mut walked = Walked::default();
        self.deploy(0).await;
        let (stop, stopped) = watch::channel(false);
        let clients = futures_util::future::join_all((0..CLIENTS).map(|number| {
            let share = live / CLIENTS + usize::from(number < live % CLIENTS);
            self.client(share, stopped.clone())
        }));
        let (killing, (), _) = tokio::join!(
            self.kill(hosts, stopped.clone()),
            async {
                for number in 0..steps {
                    tokio::time::sleep(Duration::from_millis(rand::rng().random_range(100..900))).await;
                    self.step(number, &mut walked).await;
                }
                stop.send_replace(true);
            },
            clients
        );
        walked.kills = killing.1;
        walked
    }

    fn tell(&self, hosts: &[HostProcess]) {
        self.servers.send_replace(hosts.iter().map(|host| host.server.clone()).collect());
    }

    /// Kill one host after the other, and put another in its place, until the walk is over.
    async fn kill(&self, mut hosts: Vec<HostProcess>, stopped: watch::Receiver<bool>) -> (Vec<HostProcess>, u32) {
        let mut kills = 0;
        while !*stopped.borrow() {
            let (wait, victim) = {
                let mut random = rand::rng();
                (Duration::from_millis(random.random_range(300..1_500)), random.random_range(0..HOSTS))
            };
            tokio::time::sleep(wait).await;
            hosts[victim].kill();
            hosts[victim] = self.host().await;
            self.tell(&hosts);
            kills += 1;
        }
        (hosts, kills)
    }

    /// The next version, of a family.
    async fn deploy(&self, family: usize) -> u32 {
        let mut programs = self.programs.lock().await;
        let script = format!("{};s{}", FAMILIES[family], programs.len() % 10);
        let mut bytes = guest_bytes("script");
        let place = bytes.windows(7).position(|window| window == b"script:").expect("its script");
        bytes[place + 7..place + 48].fill(b' ');
        bytes[place + 7..place + 7 + script.len()].copy_from_slice(script.as_bytes());
        // A deployment whose answer was lost is sent again, and is the same version.
        let deployed = self.ask(Method::POST, "/components", "", bytes).await.1;
        let version = u32::try_from(deployed["version"].as_u64().expect("a version")).expect("small");
        programs.insert(version, (family, script));
        version
    }

    /// One step of the walk. The first ones are what no walk goes without: an upgrade, a migration, a rollback. Then it is whichever.
    async fn step(&self, number: u32, walked: &mut Walked) {
        let choice: u32 = match number {
            0 => 0,
            1 => 9,
            2 => 3,
            _ => rand::rng().random_range(0..10),
        };
        let versions: Vec<u32> = self.programs.lock().await.keys().copied().collect();
        let any = |versions: &[u32]| *versions.choose(&mut rand::rng()).expect("a version");
        let component = "/components/script/versions";
        let what = match choice {
            0..=2 => {
                let family = rand::rng().random_range(0..FAMILIES.len());
                self.deploy(family).await;
                "upgrade"
            }
            3 | 4 => {
                // Refused while it is deprecated; a rollback is then to another.
                self.change(&format!("{component}/{}/use", any(&versions)), json!({})).await;
                "rollback"
            }
            5 => {
                self.change(&format!("{component}/{}/use", any(&versions)), json!({ "pin": true })).await;
                "pin"
            }
            6 => {
                let version = any(&versions);
                self.change(&format!("{component}/{version}/deprecate"), json!({})).await;
                self.change(&format!("{component}/{}/undeprecate", any(&versions)), json!({})).await;
                "deprecate"
            }
            _ => {
                self.migrate(any(&versions), walked).await;
                "migrate"
            }
        };
        *walked.steps.entry(what).or_default() += 1;
        println!("{what}; {} runs have ended", self.finished.lock().await.len());
    }

    /// Something that one of several states is not for.
    async fn change(&self, path: &str, body: Value) {
        let (status, answer) = self.ask(Method::POST, path, "", body.to_string()).await;
        assert!(status.is_success() || answer["code"] == "wrong-state", "{path}: {answer}");
    }

    /// Move whatever can be moved to a version, of a part of the runs that wait.
    async fn migrate(&self, to: u32, walked: &mut Walked) {
        let (_, page) = self.ask(Method::GET, "/runs?state=waiting&limit=100", "", "").await;
        let page: RunPage = serde_json::from_value(page).expect("a page");
        let programs = self.programs.lock().await.clone();
        for run in page.runs.into_iter().filter(|run| run.version != to) {
            let path = format!("/runs/{}/migrate", run.run_id);
            let (status, answer) = self.ask(Method::POST, &path, "", json!({ "version": to }).to_string()).await;
            if status == StatusCode::CONFLICT {
                // It has ended, or went on all the time.
                continue;
            }
            assert!(status.is_success(), "{path}: {answer}");
            let survives = answer["survives"] == true;
            walked.moved += usize::from(answer["migrated"] == true);
            walked.stayed += usize::from(!survives);
            let is_kin = programs[&run.version].0 == programs[&to].0;
            // One that is at its last call may differ in that from its kin.
            if survives && !is_kin || !survives && is_kin && answer["events"].as_u64() < Some(7) {
                walked.astray.push(format!("{} from {} to {to}: {answer}", run.run_id, run.version));
            }
        }
    }

    /// Bring some runs forward, each time another of them, and start another when one has ended.
    async fn client(&self, live: usize, stopped: watch::Receiver<bool>) {
        let mut going = Vec::new();
        while !*stopped.borrow() || !going.is_empty() {
            if going.len() < live && !*stopped.borrow() {
                going.push(self.start().await);
                continue;
            }
            let chosen = rand::rng().random_range(0..going.len());
            let this: &mut Going = &mut going[chosen];
            if let Some(gate) = GATES.get(this.next) {
                let key = format!("{}-{gate}", this.run);
                let path = format!("/runs/{}/signals/{gate}", this.run);
                let (status, answer) = self.ask(Method::POST, &path, &key, "1").await;
                assert!(status.is_success(), "{path}: {answer}");
                this.next += 1;
                continue;
            }
            let (_, view) = self.ask(Method::GET, &format!("/runs/{}?wait=1s", this.run), "", "").await;
            let view: RunView = serde_json::from_value(view).expect("a run");
            if view.closed_at.is_some() || view.report.is_some() {
                let this = going.swap_remove(chosen);
                let wrong = self.fault(&this, &view).await;
                self.finished.lock().await.push((view, wrong));
            }
        }
    }

    async fn start(&self) -> Going {
        let body = json!({ "workflow": "script", "input": null }).to_string();
        let (status, run) = self.ask(Method::POST, "/runs", &RunId::new().to_string(), body).await;
        assert!(status.is_success(), "{run}");
        let run: RunView = serde_json::from_value(run).expect("a run");
        Going { run: run.run_id, version: run.version, next: 0 }
    }

    /// What is wrong with a run that has ended: its history has to be what the program of its version asks for, each call once.
    async fn fault(&self, going: &Going, view: &RunView) -> Option<String> {
        if view.state != RunState::Completed || document(view) != "done" {
            return Some(format!("{} is {}: {}", view.run_id, view.state.as_str(), document(view)));
        }
        let (_, history) = self.ask(Method::GET, &format!("/runs/{}/history", view.run_id), "", "").await;
        let mut made: Vec<(u64, String)> = Vec::new();
        for event in history["events"].as_array().expect("events") {
            let kind = match event["kind"].as_str() {
                Some("step") => event["name"].as_str().expect("a name").to_owned(),
                Some("sleep") => "t".to_owned(),
                Some("signal") => format!("g{}", event["name"].as_str().expect("a name")),
                other => format!("{other:?}"),
            };
            made.push((event["call"].as_u64().expect("a call"), kind));
        }
        made.sort_unstable();
        let programs = self.programs.lock().await;
        let asked: Vec<_> =
            calls(&programs[&view.version].1).into_iter().zip(0..).map(|(kind, call)| (call, kind)).collect();
        let strayed = programs[&going.version].0 != programs[&view.version].0;
        (strayed || made != asked).then(|| format!("{} on {}: {made:?} and not {asked:?}", view.run_id, view.version))
    }

    /// Ask any host until one answers for good.
    async fn ask(&self, method: Method, path: &str, key: &str, body: impl Into<bytes::Bytes>) -> (StatusCode, Value) {
        let body = body.into();
        loop {
            let server = {
                let servers = self.servers.borrow();
                servers[rand::rng().random_range(0..servers.len())].clone()
            };
            let request = self.http.request(method.clone(), format!("{server}/v1/namespaces/default{path}"));
            let request = request.header("Content-Type", "application/json").timeout(Duration::from_secs(20));
            let request = if key.is_empty() { request } else { request.header("Idempotency-Key", key) };
            if let Ok(response) = request.body(body.clone()).send().await
                && !response.status().is_server_error()
                && response.status() != StatusCode::TOO_MANY_REQUESTS
            {
                let status = response.status();
                if let Ok(answer) = response.json().await {
                    return (status, answer);
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What became of all runs: `ok` if nothing is wrong with any of at least so many, and something was done to them.
    async fn judge(&self, walked: &Walked, least: usize) -> String {
        let finished = self.finished.lock().await;
        let wrong: Vec<_> = finished.iter().filter_map(|(_, wrong)| wrong.as_ref()).collect();
        let versions: std::collections::BTreeSet<_> = finished.iter().map(|(run, _)| run.version).collect();
        let count = async |query: &str| self.database.count(query).await;
        let twice = count("SELECT count(*) - count(DISTINCT (run_id, call)) FROM events").await;
        let gaps =
            "SELECT count(*) FROM (SELECT max(seq) + 1 - count(*) AS gap FROM events GROUP BY run_id) g WHERE gap <> 0";
        let gaps = count(gaps).await;
        let left = "SELECT (SELECT count(*) FROM owned) + (SELECT count(*) FROM ready) + (SELECT count(*) FROM parked)
                    + (SELECT count(*) FROM inbox)";
        let left = count(left).await;
        let lost = count("SELECT count(*) FROM runs").await - i64::try_from(finished.len()).expect("few");
        let quarantined = count("SELECT count(*) FROM runs WHERE state = 4").await;
        let missing = walked.missing(finished.len(), least);
        let Walked { kills, steps, moved, stayed, astray } = walked;
        let is_ok = wrong.is_empty()
            && astray.is_empty()
            && missing.is_empty()
            && (twice, gaps, left, lost, quarantined) == (0, 0, 0, 0, 0);
        let verdict = if is_ok {
            "ok".to_owned()
        } else {
            format!("FAILED ({left} rows left, missing {missing:?}, {wrong:#?} {astray:#?})")
        };
        format!(
            "{verdict}: {} runs ended on {} versions over {steps:?} and {kills} kills; {lost} lost, {quarantined} quarantined, {twice} \
             calls recorded twice, {gaps} histories with gaps; {moved} moved to another version, {stayed} had to stay",
            finished.len(),
            versions.len(),
        )
    }
}

/// The calls of a program: a step by its name, a sleep, a signal.
fn calls(script: &str) -> Vec<String> {
    let asked: Vec<_> = script.bytes().filter(|byte| *byte != b';').collect();
    let call = |pair: &[u8]| match pair[0] {
        b'g' => format!("g{}", char::from(pair[1])),
        kind => char::from(kind).to_string(),
    };
    asked.chunks(2).map(call).collect()
}
