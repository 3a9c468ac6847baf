//! Every operation that changes something leaves one entry in the audit log. The operations come from the description of the API, so that
//! one that is added is missed here.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::{ApiKey, RunState, Scope};

use super::operations::operations;
use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::tenants::new_key;

/// What is not written down: there is a row for each, and there are thousands a second; or they only ask.
const NOT_WRITTEN: [&str; 5] = [
    "POST /runs",
    "POST /runs/{run_id}/signals/{name}",
    "POST /runs/{run_id}/updates/{name}",
    "POST /runs/context",
    "POST /runs/steps",
];

/// An operator at work.
struct Operator {
    api: Api,
    all: Api,
    key: ApiKey,
    done: BTreeSet<String>,
}

impl Operator {
    /// All entries there are: those of the namespace, and those of none.
    async fn entries(&self) -> Vec<Value> {
        let mut entries = Vec::new();
        for api in [&self.api, &self.all] {
            entries.extend(api.get("/audit?limit=1000").await["entries"].as_array().expect("entries").clone());
        }
        entries
    }

    /// An operation, with what stands in the places of its path, and the word that is written down for it. Returns what it answers.
    async fn does(
        &mut self,
        operation: &str,
        places: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
        what: &str,
    ) -> Value {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        let mut address = path.to_owned();
        for (name, value) in places {
            address = address.replace(&format!("{{{name}}}"), value);
        }
        let before = self.entries().await;
        let response = self.api.request(method.parse::<Method>().expect("a method"), &address, body).await;
        let (status, text) = (response.status(), response.text().await.expect("a body"));
        assert!(status.is_success(), "{operation}: {status}: {text}");
        let mut after = self.entries().await;
        after.retain(|entry| !before.contains(entry));
        let written: Vec<_> = after.iter().map(|entry| (entry["who"].as_str(), entry["what"].as_str())).collect();
        assert_eq!(written, [(Some(&*self.key.id().to_string()), Some(what))], "{operation}");
        self.done.insert(
            path.split_once('?').map_or(operation, |(path, _)| &operation[..method.len() + 1 + path.len()]).to_owned(),
        );
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    async fn changes_components(&mut self, database: &Database) {
        let grants = "/components/{component}/grants?http=api.example.com";
        let version = [("component", "probe"), ("version", "1")];
        self.does("POST /components?name=probe", &[], guest_bytes("probe"), "component.deploy").await;
        // The same program with other bytes: a section that nobody reads.
        let newer = [guest_bytes("probe"), vec![0, 3, 1, b'x', 0]].concat();
        self.does("POST /components?name=probe", &[], newer, "component.deploy").await;
        self.does(&format!("PUT {grants}"), &version, "", "grant.add").await;
        self.does(&format!("DELETE {grants}"), &version, "", "grant.remove").await;
        let of = |verb: &str| format!("POST /components/{{component}}/versions/{{version}}/{verb}");
        self.does(&of("deprecate"), &version, "{}", "version.deprecate").await;
        self.does(&of("undeprecate"), &version, "{}", "version.undeprecate").await;
        self.does(&of("use"), &version, "{}", "version.use").await;
        self.does(&of("use"), &[("component", "probe"), ("version", "2")], "{}", "version.use").await;
        let replaced =
            "WITH replaced AS (UPDATE versions SET replaced_at = replaced_at - interval '1 hour' RETURNING 1)
                        SELECT count(*) FROM replaced";
        assert_eq!(database.count(replaced).await, 2);
    }

    async fn changes_runs(&mut self) {
        let run = self.api.start("collect", json!(2)).await;
        self.api.signal(&run, "item", json!(1)).await;
        self.api.wait_for_events(&run, 1).await;
        self.api.wait_for_state(&run, RunState::Waiting).await;
        let of = |verb: &str| format!("POST /runs/{{run_id}}/{verb}");
        let run = [("run_id", &*run)];
        self.does(&of("pause"), &run, "{}", "run.pause").await;
        self.api.wait_for_state(run[0].1, RunState::Paused).await;
        self.does(&of("migrate"), &run, r#"{"version":1}"#, "run.migrate").await;
        let fork = self.does(&of("fork"), &run, r#"{"before":0}"#, "run.fork").await;
        self.does(&of("rewind"), &run, r#"{"before":0}"#, "run.rewind").await;
        self.does(&of("resume"), &run, "{}", "run.resume").await;
        self.does(&of("cancel"), &run, "{}", "run.cancel").await;
        self.api.end(run[0].1).await;
        let fork = [("run_id", fork["run_id"].as_str().expect("a run"))];
        self.does(&of("terminate"), &fork, "{}", "run.terminate").await;
        self.does(
            "DELETE /components/{component}/versions/{version}?forget_failed=true",
            &[("component", "probe"), ("version", "1")],
            "",
            "version.delete",
        )
        .await;
        self.api.deploy(guest_bytes("rogue"), "").await.expect("deployed");
        let stuck = self.api.start("panics", Value::Null).await;
        self.api.wait_for_state(&stuck, RunState::Quarantined).await;
        self.does(&of("retry"), &[("run_id", &stuck)], "{}", "run.retry").await;
    }

    async fn changes_what_may_run(&mut self) {
        let (workflow, step) = ([("workflow", "collect")], [("step", "send-mail")]);
        self.does("PUT /concurrency", &[], r#"{"max_runs":10}"#, "concurrency.set").await;
        self.does("PUT /workflows/{workflow}/concurrency", &workflow, r#"{"max_runs":1}"#, "concurrency.set").await;
        self.does("PUT /rate-limits/{step}", &step, r#"{"per_second":1}"#, "rate-limit.set").await;
        self.does("DELETE /rate-limits/{step}", &step, "", "rate-limit.unset").await;
        self.does("POST /workflows/{workflow}/pause", &workflow, "{}", "workflow.pause").await;
        self.does("POST /workflows/{workflow}/resume", &workflow, "{}", "workflow.resume").await;
        self.does("POST /pause", &[], "{}", "namespace.pause").await;
        self.does("POST /resume", &[], "{}", "namespace.resume").await;
        self.does("POST /recount", &[], "{}", "namespace.recount").await;
        self.does("PUT ", &[], r#"{"limits":{"events":1000}}"#, "namespace.change").await;
    }

    async fn changes_schedules(&mut self) {
        let (name, path) = ([("name", "nightly")], "/schedules/{name}");
        let schedule =
            |hour: u8| json!({ "workflow": "forever", "spec": { "cron": format!("0 {hour} * * *") } }).to_string();
        self.does(&format!("PUT {path}"), &name, schedule(1), "schedule.create").await;
        self.does(&format!("PUT {path}"), &name, schedule(2), "schedule.change").await;
        self.does(&format!("POST {path}/pause"), &name, "{}", "schedule.pause").await;
        self.does(&format!("POST {path}/resume"), &name, "{}", "schedule.resume").await;
        self.does(&format!("POST {path}/trigger"), &name, "{}", "schedule.trigger").await;
        let range = r#"{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}"#;
        self.does(&format!("POST {path}/backfill"), &name, range, "schedule.backfill").await;
        self.does(&format!("DELETE {path}"), &name, "", "schedule.delete").await;
    }

    async fn changes_secrets_and_keys(&mut self) {
        let (name, path) = ([("name", "bank")], "/secrets/{name}");
        let secret = r#"{"value":"a-secret-of-theirs","for":["https://bank.example"],"header":"authorization"}"#;
        self.does(&format!("PUT {path}"), &name, secret, "secret.set").await;
        self.does(&format!("DELETE {path}"), &name, "", "secret.delete").await;
        let made = self.does("POST /keys", &[], r#"{"name":"x","scopes":["read"]}"#, "key.create").await;
        let id = made["key_id"].as_str().expect("an id");
        let rotated = self.does("POST /keys/{key_id}/rotate", &[("key_id", id)], "{}", "key.rotate").await;
        let id = rotated["key_id"].as_str().expect("an id");
        self.does("DELETE /keys/{key_id}", &[("key_id", id)], "", "key.revoke").await;
    }
}

/// Operations that may change something, as `METHOD /path` below a namespace.
fn changing() -> BTreeSet<String> {
    let changing = operations().into_iter().filter(|operation| operation.method != Method::GET);
    changing.map(|operation| format!("{} {}", operation.method, operation.below())).collect()
}

#[tokio::test]
async fn every_operation_that_changes_something_leaves_one_entry_with_who_did_it() {
    let database = Database::new().await;
    let host = HostProcess::serve_with_keys(&database, &["--park-after", "1ms"]).await;
    let key = new_key(&database.store().await, "*", &Scope::ALL).await;
    let at = |namespace: &str| Api::with_key(&host.server, namespace, &key);
    let mut operator = Operator { api: at("tenant"), all: at("*"), key: key.clone(), done: BTreeSet::new() };
    let made = at("tenant").request(Method::PUT, "", "{}").await;
    assert!(made.status().is_success());
    operator.changes_components(&database).await;
    operator.changes_runs().await;
    operator.changes_what_may_run().await;
    operator.changes_schedules().await;
    operator.changes_secrets_and_keys().await;
    let mut expected = changing();
    for operation in NOT_WRITTEN {
        assert!(expected.remove(operation), "there is no {operation}");
    }
    assert_eq!(operator.done, expected);
}
