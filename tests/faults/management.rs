//! What is changed for many runs at once (versions, pauses, limits, schedules), when what is asked for never arrives, when its answer is lost,
//! and when the host dies over it: it is done once or not at all, and asking again comes to the same.

use reqwest::Method;
use serde_json::{Value, json};

use super::control::{Bench, FAULTS};
use crate::harness::proxy::Moment;
use crate::path::divergence::with;

impl Bench {
    /// Ask for it until it is done, once: by one of the calls, with one entry in the audit log.
    async fn manages(&mut self, method: Method, path: &str, body: Value, what: &str) {
        for fault in FAULTS {
            self.manages_under(fault, (method.clone(), path), &body, what).await;
            // For the next time.
            self.undo(what).await;
        }
    }

    async fn manages_under(
        &mut self,
        fault: (Moment, bool),
        (method, path): (Method, &str),
        body: &Value,
        what: &str,
    ) -> Value {
        let entries = format!("SELECT count(*) FROM audit_log WHERE what = '{what}'");
        let before = self.database.count(&entries).await;
        let (status, answer) = self.insist((method, path), body, fault).await;
        // Whoever asks again is told that it is so already.
        let is_so = fault.0 == Moment::After && [404, 409].contains(&status);
        assert!((200..300).contains(&status) || is_so, "{what}, {fault:?}: {status} {answer}");
        assert_eq!(self.database.count(&entries).await, before + 1, "{what}, {fault:?}: {answer}");
        answer
    }

    /// What is done and done again has to be undone in between.
    async fn undo(&self, what: &str) {
        let (method, path, body) = match what {
            "version.use" => (Method::POST, "/components/script/versions/1/use", json!({})),
            "version.deprecate" => (Method::POST, "/components/script/versions/2/undeprecate", json!({})),
            "workflow.pause" => (Method::POST, "/workflows/script/resume", json!({})),
            "workflow.resume" => (Method::POST, "/workflows/script/pause", json!({})),
            "concurrency.set" => (Method::PUT, "/workflows/script/concurrency", json!({})),
            "rate-limit.set" => (Method::DELETE, "/rate-limits/s", json!({})),
            "rate-limit.unset" => (Method::PUT, "/rate-limits/s", json!({ "per_second": 5 })),
            "schedule.create" => (Method::DELETE, "/schedules/nightly", json!({})),
            "schedule.pause" => (Method::POST, "/schedules/nightly/resume", json!({})),
            "schedule.resume" => (Method::POST, "/schedules/nightly/pause", json!({})),
            "schedule.delete" => (Method::PUT, "/schedules/nightly", nightly()),
            _ => unreachable!("{what}"),
        };
        let undone = self.host.api.request(method, path, body.to_string()).await;
        assert!(undone.status().is_success(), "{what}: {}", undone.text().await.unwrap_or_default());
    }
}

fn nightly() -> Value {
    json!({ "workflow": "script", "input": null, "spec": { "cron": "0 3 1 1 *" } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_change_once_whatever_becomes_of_the_call() {
    let mut bench = Bench::new().await;
    bench.manages(Method::POST, "/components/script/versions/2/use", json!({}), "version.use").await;
    bench.manages(Method::POST, "/components/script/versions/2/deprecate", json!({}), "version.deprecate").await;
    for (number, fault) in FAULTS.into_iter().enumerate() {
        let script = with(&format!("s1;g0;s{}", number + 3));
        let deployed = bench.host.api.request(Method::POST, "/components", script).await;
        let version = deployed.json::<Value>().await.expect("JSON")["version"].as_u64().expect("a number");
        bench.undo("version.use").await;
        let long_ago =
            "WITH changed AS (UPDATE versions SET replaced_at = replaced_at - interval '2 minutes' RETURNING 1)
                        SELECT count(*) FROM changed";
        bench.database.count(long_ago).await;
        let path = format!("/components/script/versions/{version}");
        bench.manages_under(fault, (Method::DELETE, &path), &json!({}), "version.delete").await;
        let left = bench.database.count("SELECT count(*) FROM versions WHERE component = 'script'").await;
        assert_eq!((left, bench.database.count("SELECT count(*) FROM components").await), (2, 3), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workflows_are_paused_and_limited_once_whatever_becomes_of_the_call() {
    let mut bench = Bench::new().await;
    bench.manages(Method::POST, "/workflows/script/pause", json!({}), "workflow.pause").await;
    bench.undo("workflow.resume").await;
    bench.manages(Method::POST, "/workflows/script/resume", json!({}), "workflow.resume").await;
    bench.undo("workflow.pause").await;
    bench.manages(Method::PUT, "/workflows/script/concurrency", json!({ "max_runs": 2 }), "concurrency.set").await;
    bench.manages(Method::PUT, "/rate-limits/s", json!({ "per_second": 5 }), "rate-limit.set").await;
    bench.undo("rate-limit.unset").await;
    bench.manages(Method::DELETE, "/rate-limits/s", json!({}), "rate-limit.unset").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_change_once_whatever_becomes_of_the_call() {
    let mut bench = Bench::new().await;
    bench.manages(Method::PUT, "/schedules/nightly", nightly(), "schedule.create").await;
    bench.undo("schedule.delete").await;
    bench.manages(Method::POST, "/schedules/nightly/pause", json!({}), "schedule.pause").await;
    bench.undo("schedule.resume").await;
    bench.manages(Method::POST, "/schedules/nightly/resume", json!({}), "schedule.resume").await;
    bench.manages(Method::DELETE, "/schedules/nightly", json!({}), "schedule.delete").await;
}
