//! Pausing, letting go on, retrying and moving runs, when what is asked for never arrives, when its answer is lost, and when the host dies
//! over it: it is done or it is not, and asking again comes to the same.

use reqwest::Method;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::api::http;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::proxy::{Moment, Proxy};
use crate::path::divergence::with;

const OPTIONS: [&str; 4] = ["--lease", "2s", "--park-after", "10ms"];

/// What becomes of the call: when, and whether its host goes with it.
pub(super) const FAULTS: [(Moment, bool); 4] =
    [(Moment::Before, false), (Moment::After, false), (Moment::Before, true), (Moment::After, true)];

/// A host behind a proxy.
pub(super) struct Bench {
    pub(super) database: Database,
    proxy: Proxy,
    pub(super) host: HostProcess,
}

impl Bench {
    pub(super) async fn new() -> Self {
        let database = Database::new().await;
        let proxy = Proxy::open(&database).await;
        let host = HostProcess::serve(&proxy.database, &OPTIONS).await;
        host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
        host.api.deploy(with("s1;g0;s2;g1"), "").await.expect("deployed");
        host.api.deploy(with("s1;g0;s2;g1;s3"), "").await.expect("deployed");
        let first = host.api.request(Method::POST, "/components/script/versions/1/use", "{}").await;
        assert!(first.status().is_success());
        Self { database, proxy, host }
    }

    /// Ask for something whose commit comes to grief, and ask again until it is answered. Returns the last answer.
    pub(super) async fn insist(
        &mut self,
        (method, path): (Method, &str),
        body: &Value,
        (moment, dies): (Moment, bool),
    ) -> (u16, Value) {
        let pid = self.host.pid();
        let kill = move || kill_process(pid, Signal::KILL).expect("killed");
        self.proxy.at_commit(1, moment, move || {
            if dies {
                kill()
            }
        });
        let mut tries = 0;
        loop {
            tries += 1;
            let request = http().request(method.clone(), format!("{}{path}", self.host.api.base)).json(body);
            match request.send().await {
                Ok(response) if response.status().is_server_error() => {
                    let problem: Value = response.json().await.expect("a problem");
                    assert_eq!(problem["code"], "unavailable", "{path}: {problem}");
                }
                Ok(response) => {
                    assert!(self.proxy.is_done() && tries > 1, "{method} {path}: nothing went wrong");
                    return (response.status().as_u16(), response.json().await.unwrap_or_default());
                }
                Err(_) => {
                    assert!(dies, "{path}: its host is there");
                    self.host = HostProcess::serve(&self.proxy.database, &OPTIONS).await;
                }
            }
        }
    }

    /// Where a run that is not over stands: in so many of the small tables.
    async fn places(&self, run: &str) -> i64 {
        let count = |table: &str| format!("(SELECT count(*) FROM {table} WHERE run_id = '{run}')");
        self.database.count(&format!("SELECT {}", ["ready", "owned", "parked", "paused"].map(count).join(" + "))).await
    }

    /// Entries of the audit log about a run.
    async fn entries(&self, run: &str, verb: &str) -> i64 {
        let entries = format!("SELECT count(*) FROM audit_log WHERE what = 'run.{verb}' AND subject = '{run}'");
        self.database.count(&entries).await
    }

    /// What was asked for is done, once, whether the call that did it was answered or not.
    async fn is_done_once(&self, run: &str, verb: &str, moment: Moment, (status, answer): &(u16, Value)) {
        let what = format!("{verb}, cut {moment:?}: {answer}");
        if moment == Moment::Before {
            assert_eq!(*status, 200, "{what}");
        } else {
            // Whoever asks again is told that it is so already.
            assert!(*status == 200 || answer["code"] == "wrong-state", "{what}");
        }
        assert_eq!(self.entries(run, verb).await, 1, "{what}");
        assert_eq!(self.places(run).await, 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_paused_and_goes_on_once_whatever_becomes_of_the_call() {
    let mut bench = Bench::new().await;
    for fault in FAULTS {
        let run = bench.host.api.start("collect", json!(2)).await;
        bench.host.api.signal(&run, "item", json!(1)).await;
        bench.host.api.wait_for_events(&run, 1).await;
        bench.host.api.wait_for_state(&run, RunState::Waiting).await;
        let paused = bench.insist((Method::POST, &format!("/runs/{run}/pause")), &json!({}), fault).await;
        bench.is_done_once(&run, "pause", fault.0, &paused).await;
        bench.host.api.signal(&run, "item", json!(2)).await;
        eventually("it is put aside with its letter", async || {
            let aside = format!("SELECT count(*) FROM paused WHERE run_id = '{run}'");
            (bench.database.count(&aside).await == 1).then_some(())
        })
        .await;
        let resumed = bench.insist((Method::POST, &format!("/runs/{run}/resume")), &json!({}), fault).await;
        assert_eq!(bench.entries(&run, "resume").await, 1, "{fault:?}: {resumed:?}");
        assert_eq!(bench.host.api.result(&run).await, json!([1, 2]), "{fault:?}");
        assert_eq!(bench.host.api.history(&run).await.events.len(), 2, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_quarantined_is_retried_once_whatever_becomes_of_the_call() {
    let mut bench = Bench::new().await;
    for fault in FAULTS {
        let run = bench.host.api.start("collect", json!(2)).await;
        bench.host.api.signal(&run, "item", json!(1)).await;
        bench.host.api.wait_for_events(&run, 1).await;
        bench.host.api.wait_for_state(&run, RunState::Waiting).await;
        // Replayed from the database, where its history is another meanwhile.
        bench.host.kill();
        let rename = |from: &str, to: &str| {
            format!(
                "WITH changed AS (UPDATE events SET name = '{to}' WHERE run_id = '{run}' AND name = '{from}' RETURNING 1)
                 SELECT count(*) FROM changed"
            )
        };
        assert_eq!(bench.database.count(&rename("item", "thing")).await, 1);
        bench.host = HostProcess::serve(&bench.proxy.database, &OPTIONS).await;
        bench.host.api.signal(&run, "item", json!(2)).await;
        assert_eq!(bench.host.api.end(&run).await.state, RunState::Quarantined);
        assert_eq!(bench.database.count(&rename("thing", "item")).await, 1);
        let retried = bench.insist((Method::POST, &format!("/runs/{run}/retry")), &json!({}), fault).await;
        assert_eq!(bench.entries(&run, "retry").await, 1, "{fault:?}: {retried:?}");
        assert_eq!(bench.host.api.result(&run).await, json!([1, 2]), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_is_moved_to_another_version_once_whatever_becomes_of_the_call() {
    let mut bench = Bench::new().await;
    for fault in FAULTS {
        let run = bench.host.api.start("script", Value::Null).await;
        bench.host.api.wait_for_events(&run, 1).await;
        bench.host.api.wait_for_state(&run, RunState::Waiting).await;
        let moved =
            bench.insist((Method::POST, &format!("/runs/{run}/migrate")), &json!({ "version": 2 }), fault).await;
        bench.is_done_once(&run, "migrate", fault.0, &moved).await;
        assert_eq!(moved.1["survives"], true, "{fault:?}: {moved:?}");
        assert_eq!(bench.host.api.run(&run).await.version, 2, "{fault:?}");
        for gate in ["0", "1"] {
            bench.host.api.signal(&run, gate, json!(1)).await;
        }
        assert_eq!(bench.host.api.result(&run).await, "done", "{fault:?}");
        let names = bench.host.api.event_names(&run).await;
        assert_eq!(names, ["step s", "signal 0", "step s", "signal 1", "step s"], "{fault:?}: as its new version asks");
    }
}
