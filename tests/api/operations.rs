//! The operations of the API, from its description: a new one is tested without being named, or a test fails until it is.

use reqwest::Method;
use windlass_host::model::Scope;

/// An operation of the API.
pub(super) struct Operation {
    pub method: Method,
    pub path: String,
    pub scope: Scope,
    pub is_for_all: bool,
}

/// What stands in the places of a path.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub run_id: &'a str,
    pub key_id: &'a str,
    /// Of a schedule, a secret, a signal, an update.
    pub name: &'a str,
    pub component: &'a str,
    pub workflow: &'a str,
    pub step: &'a str,
}

/// Of things that are not there.
pub(super) const NOTHING: Names = Names {
    run_id: "00000000-0000-0000-0000-000000000000",
    key_id: "0000000000",
    name: "some-name",
    component: "some-component",
    workflow: "some-workflow",
    step: "some-step",
};

/// All that the description has.
pub(super) fn operations() -> Vec<Operation> {
    let description = serde_json::to_value(windlass_host::api::description()).expect("JSON");
    let mut operations = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let scope = operation["security"][0]["api_key"][0].as_str();
            let scope = scope.unwrap_or_else(|| panic!("{method} {path} does not say which scope opens it"));
            let method = method.to_uppercase().parse().expect("a method");
            let is_for_all = operation["security"][0]["api_key"][1] == "all-namespaces";
            operations.push(Operation {
                method,
                path: path.clone(),
                scope: scope.parse().expect("a scope"),
                is_for_all,
            });
        }
    }
    assert!(operations.len() >= 19, "{}", operations.len());
    operations
}

impl Operation {
    /// Its address, about these things.
    pub(super) fn address(&self, namespace: &str, names: Names<'_>) -> String {
        let places = [
            ("{namespace}", namespace),
            ("{run_id}", names.run_id),
            ("{key_id}", names.key_id),
            ("{name}", names.name),
            ("{component}", names.component),
            ("{workflow}", names.workflow),
            ("{step}", names.step),
            ("{version}", "1"),
        ];
        let address = places.iter().fold(self.path.clone(), |path, (place, value)| path.replace(place, value));
        assert!(!address.contains('{'), "{address}: say what stands in the place");
        let changes_grants = address.ends_with("/grants") && self.method != Method::GET;
        if changes_grants { address + "?http=api.example.com" } else { address }
    }

    /// Its path below a namespace, or all of it.
    pub(super) fn below(&self) -> &str {
        self.path.strip_prefix("/v1/namespaces/{namespace}").unwrap_or(&self.path)
    }

    /// A body that it takes, about these things.
    pub(super) fn body(&self, Names { run_id, workflow, .. }: Names<'_>) -> String {
        let below = self.below();
        let last = below.rsplit('/').next().unwrap_or_default();
        match (self.method.as_str(), below, last) {
            ("POST", "/runs", _) => format!(r#"{{"workflow":"{workflow}"}}"#),
            ("POST", "/runs/context" | "/runs/steps", _) => format!(r#"{{"run_ids":["{run_id}"]}}"#),
            ("POST", "/keys", _) => r#"{"name":"x","scopes":["read"]}"#.to_owned(),
            (_, _, "migrate") => r#"{"version":1}"#.to_owned(),
            (_, _, "rewind" | "fork") => r#"{"before":1}"#.to_owned(),
            (_, _, "backfill") => r#"{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z"}"#.to_owned(),
            ("PUT", "/schedules/{name}", _) => {
                format!(r#"{{"workflow":"{workflow}","spec":{{"cron":"0 1 1 1 *"}}}}"#)
            }
            ("PUT", "/secrets/{name}", _) => {
                r#"{"value":"a-secret-of-mine","for":["https://bank.example"],"header":"authorization"}"#.to_owned()
            }
            ("PUT", "/rate-limits/{step}", _) => r#"{"per_second":1}"#.to_owned(),
            (_, _, "concurrency") => r#"{"max_runs":1}"#.to_owned(),
            _ => "{}".to_owned(),
        }
    }

    /// Whether a key for one namespace does not do for it.
    pub(super) fn is_about_all(&self) -> bool {
        self.is_for_all || !self.path.contains("{namespace}")
    }

    /// Whether its address names something inside a namespace.
    pub(super) fn names_something(&self) -> bool {
        self.below().contains('{')
    }
}
