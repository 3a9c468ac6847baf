//! A hostile guest, and what becomes of it.

use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::api::Problem;
use windlass_host::model::RunState;

use super::component::Guest;
use crate::harness::api::{Api, document};
use crate::harness::guests::guest_bytes;

/// What is uploaded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// Made for this case alone; its workflow is called as the case is.
    Text(Guest),
    /// `tests/guests/rogue`, and which of its workflows is started with what.
    Rust { workflow: &'static str, input: &'static str },
}

/// One guest, one bad thing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// What kind of attack it is; several guests try each.
    pub(crate) vector: &'static str,
    pub(crate) name: &'static str,
    pub(crate) source: Source,
    /// `refused CODE` at the upload, `quarantined CODE`, `failed CODE`, `step CODE` for what its workflow hears of its step, or
    /// `completed`: it may do that, and has nothing of it. Of several, with ` | ` between them, it is one.
    pub(crate) verdict: &'static str,
    /// What the message says: the limit, where there is one.
    pub(crate) says: &'static str,
    /// Whether it takes seconds: three strikes, or all of its fuel. Not in `cargo test`.
    pub(crate) is_slow: bool,
}

/// What a message says with each code that is about a limit: which one it is, as operators write it.
const LIMITS: [(&str, &[&str]); 17] = [
    ("memory-exceeded", &["(memory_bytes)"]),
    ("table-exceeded", &["(table_elements)"]),
    ("fuel-exhausted", &["(event_fuel)", "(step_fuel)"]),
    ("time-exceeded", &["(event_time_ms)"]),
    ("stack-exhausted", &["(stack_bytes)"]),
    ("hostcall-exceeded", &["(hostcall_bytes)"]),
    ("too-many-resources", &["(resources)"]),
    ("instance-too-large", &["(instances)", "(memories)", "(tables)"]),
    ("payload-too-large", &["(payload_bytes)", "(heartbeat_bytes)"]),
    ("random-too-long", &["(random_bytes)"]),
    ("too-many-calls", &["(open_calls)"]),
    ("open-calls-too-large", &["(open_call_bytes)"]),
    ("too-many-timers", &["(open_timers)"]),
    ("too-many-children", &["(open_children)", "(children)"]),
    ("history-too-long", &["(events)", "(history_bytes)"]),
    ("too-many-keys", &["(published_keys)"]),
    ("published-too-large", &["(published_bytes)"]),
];

/// Whether the message that comes with a code names its limit, if it has one.
fn names_its_limit(verdict: &str, message: &str) -> bool {
    let code = verdict.rsplit(' ').next().unwrap_or_default();
    let limit = LIMITS.iter().find(|(limited, _)| *limited == code);
    limit.is_none_or(|(_, names)| names.iter().any(|name| message.contains(name)))
}

/// All of them.
pub(crate) fn corpus() -> Vec<Case> {
    use super::{calls, escapes, resources, rust, values};
    [resources::CASES, calls::CASES, values::CASES, escapes::CASES, rust::CASES].concat()
}

impl Case {
    /// A guest, what it tries, and what becomes of it.
    pub(crate) const fn new(vector: &'static str, name: &'static str, guest: Guest, verdict: &'static str) -> Self {
        Self { vector, name, source: Source::Text(guest), verdict, says: "", is_slow: false }
    }

    /// The same of a workflow in Rust, made with the SDK.
    pub(crate) const fn rust(
        vector: &'static str,
        name: &'static str,
        (workflow, input): (&'static str, &'static str),
        verdict: &'static str,
    ) -> Self {
        Self { vector, name, source: Source::Rust { workflow, input }, verdict, says: "", is_slow: false }
    }

    /// The message says so.
    pub(crate) const fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    /// It takes seconds.
    pub(crate) const fn slow(self) -> Self {
        Self { is_slow: true, ..self }
    }

    /// Upload it, run it, and see what becomes of it. An error says what was to become of it.
    pub(crate) async fn check(&self, api: &Api) -> Result<(), String> {
        let (verdict, message) = self.run(api).await;
        let is_expected = self.verdict.split(" | ").any(|expected| expected == verdict);
        if !names_its_limit(&verdict, &message) {
            return Err(format!(
                "{} ({}): {verdict}: {message}\n  and does not name the limit",
                self.name, self.vector
            ));
        }
        if is_expected && message.contains(self.says) {
            return Ok(());
        }
        Err(format!(
            "{} ({}): {verdict}: {message}\n  and not {}: …{}…",
            self.name, self.vector, self.verdict, self.says
        ))
    }

    pub(crate) fn component(&self) -> Vec<u8> {
        match self.source {
            Source::Text(guest) => guest.component(self.name),
            Source::Rust { .. } => guest_bytes("rogue"),
        }
    }

    async fn run(&self, api: &Api) -> (String, String) {
        let deployed = api.request(Method::POST, "/components", self.component()).await;
        if !deployed.status().is_success() {
            let problem: Problem = deployed.json().await.expect("a problem");
            return (format!("refused {}", problem.code), problem.detail);
        }
        let (workflow, input) = match self.source {
            Source::Text(_) => (self.name, Value::Null),
            Source::Rust { workflow, input } => (workflow, serde_json::from_str(input).expect("JSON")),
        };
        let run = api.end(&api.start(workflow, input).await).await;
        let text = |document: &Value, field: &str| document[field].as_str().unwrap_or_default().to_owned();
        let report = document(&run);
        match run.state {
            RunState::Quarantined => (format!("quarantined {}", text(&report, "code")), text(&report, "message")),
            RunState::Completed => {
                let history = api.history(&run.run_id).await;
                match history.events.into_iter().find_map(|event| event.failure) {
                    Some(failure) => (format!("step {}", failure.code), failure.message),
                    None => ("completed".to_owned(), String::new()),
                }
            }
            state => (format!("{} {}", state.as_str(), text(&report, "code")), text(&report, "message")),
        }
    }
}

/// Limits of the namespace that the guests are in: low where it would take long to reach them.
pub(crate) fn limits() -> Value {
    json!({ "limits": {
        "events": 500, "children": 300, "open_children": 200, "open_timers": 200, "step_fuel": 20_000_000,
        "event_fuel": 4_000_000, "event_time_ms": "4s",
    } })
}
