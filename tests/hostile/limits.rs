//! Each limit of a namespace, set lower than the host's: one guest reaches it there, and not elsewhere.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::{GuestLimits, RunState};

use super::case::Case;
use super::component::{Guest, starts, steps};
use super::{corpus, namespace};
use crate::harness::api::{Api, document};
use crate::harness::guests::guest_bytes;
use crate::harness::shared::shared;

/// A limit, a number for it, and what becomes of a guest then.
struct Row {
    limit: &'static str,
    number: u64,
    guest: Reaches,
    verdict: &'static str,
    says: &'static str,
    /// What becomes of it where the limit is the host's, if the code is another there. Else the number in the message shows it.
    otherwise: &'static str,
}

enum Reaches {
    /// One of the corpus.
    OfCorpus(&'static str),
    Own(Guest),
}

/// Counts to 100,000, and is done.
macro_rules! counts {
    ($done:literal) => {
        concat!(
            "(local $left i32) (local.set $left (i32.const 100000))
            (loop $more (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))",
            $done
        )
    };
}

/// Holds a hundred handles, and is done.
const HOLDS: &str = "(local $left i32) (local.set $left (i32.const 100))
    (loop $more (drop (call $fields)) (br_if $more (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (call $progress (i32.const 0))";

const fn row(
    limit: &'static str,
    number: u64,
    guest: Reaches,
    verdict: &'static str,
    says: &'static str,
    otherwise: &'static str,
) -> Row {
    Row { limit, number, guest, verdict, says, otherwise }
}

/// Those that end a run or an attempt.
#[rustfmt::skip]
fn rows() -> Vec<Row> {
    let counts = Reaches::Own(starts(counts!("(call $completed)")));
    let step_counts = Reaches::Own(steps(counts!("(call $progress (i32.const 0))")));
    let corpus = Reaches::OfCorpus;
    vec![
        row("memory_bytes", 8 << 20, corpus("memory-stepwise-in-start"), "quarantined memory-exceeded", "8388608", ""),
        row("table_elements", 1_000, corpus("table-stepwise"), "quarantined table-exceeded", "1000", ""),
        row("event_fuel", 10_000, counts, "quarantined fuel-exhausted", "10000 instructions, about, are the most (event_fuel)", "completed"),
        row("step_fuel", 10_000, step_counts, "step fuel-exhausted", "10000 instructions, about, are the most (step_fuel)", "completed"),
        row("step_time_ms", 200, corpus("loops-in-step"), "step timeout", "200ms, which is the most that one may take (step_time_ms)", ""),
        row("event_time_ms", 300, corpus("loops-in-start"), "quarantined time-exceeded", "300 ms are the most (event_time_ms)", "quarantined fuel-exhausted"),
        row("hostcall_bytes", 500_000, corpus("asks-with-too-much"), "quarantined hostcall-exceeded", "(hostcall_bytes)", "quarantined payload-too-large"),
        row("resources", 10, Reaches::Own(steps(HOLDS)), "step too-many-resources", "(resources)", "completed"),
        row("payload_bytes", 1_000, corpus("asks-with-too-much"), "quarantined payload-too-large", "1000 are", ""),
        row("heartbeat_bytes", 1_000, corpus("reports-too-much"), "step payload-too-large", "1000 are", ""),
        row("random_bytes", 1_000, corpus("draws-too-much"), "quarantined random-too-long", "1000", ""),
        row("open_calls", 100, corpus("floods-steps"), "quarantined too-many-calls", "100 calls", ""),
        row("open_call_bytes", 1_000_000, corpus("holds-wide-steps"), "quarantined open-calls-too-large", "1000000", ""),
        row("open_timers", 20, corpus("floods-timers"), "quarantined too-many-timers", "20 timers", ""),
        row("open_children", 20, corpus("floods-children"), "quarantined too-many-children", "20 children", ""),
        row("children", 30, corpus("floods-children-and-takes-them-back"), "quarantined too-many-children", "30 children", ""),
        row("events", 50, corpus("floods-events"), "quarantined history-too-long", "50 events", ""),
        row("published_keys", 5, corpus("publishes-many-keys"), "quarantined too-many-keys", "5 keys", ""),
        row("published_bytes", 300_000, corpus("publishes-wide-values"), "quarantined published-too-large", "300000", ""),
    ]
}

/// Those that are reached elsewhere, each by itself.
const ELSEWHERE: [(&str, &str); 17] = [
    ("memories", "hostile/mod.rs: a_component_of_more_parts_than_its_namespace_may_have_is_refused"),
    ("tables", "the same"),
    ("instances", "the same"),
    ("history_bytes", "what_a_namespace_s_runs_write_down_is_bounded_as_it_is_told"),
    ("history_warning", "the same"),
    ("log_line_bytes", "the same"),
    ("log_lines", "the same"),
    ("log_bytes", "the same"),
    ("run_log_bytes", "namespaces.rs: the_lines_of_all_attempts_together_are_bounded"),
    ("inbox_letters", "namespaces.rs: signals_that_nobody_asks_for_are_refused_when_there_are_too_many_or_too_large"),
    ("inbox_bytes", "the same"),
    ("http_requests", "hostile/outbound.rs: an_attempt_sends_and_receives_so_much_and_no_more"),
    ("http_request_bytes", "the same"),
    ("http_response_bytes", "the same"),
    ("http_time_ms", "hostile/outbound.rs: a_request_that_takes_longer_than_it_may_fails_and_the_step_hears_of_it"),
    ("schedules", "schedules.rs: a_schedule_that_cannot_be_is_refused_with_what_is_wrong"),
    ("storage_bytes", "namespaces.rs: a_namespace_that_is_full_takes_nothing_more_and_goes_on_when_there_is_room"),
];

impl Row {
    /// The guest, where the limit is the namespace's; and where it is not.
    async fn check(&self, server: &str, plain: &Api) -> Result<(), String> {
        let name = format!("only-{}", self.limit.replace('_', "-"));
        let limited = namespace(server, &name, json!({ "limits": { self.limit: self.number } })).await;
        let case = match self.guest {
            Reaches::OfCorpus(name) => corpus().into_iter().find(|case| case.name == name).expect("it is there"),
            Reaches::Own(guest) => Case::new("limit", self.limit, guest, ""),
        };
        let of_limit = |error: String| format!("{}: {error}", self.limit);
        Case { verdict: self.verdict, says: self.says, ..case }.check(&limited).await.map_err(of_limit)?;
        if self.otherwise.is_empty() {
            return Ok(());
        }
        Case { verdict: self.otherwise, says: "", ..case }.check(plain).await.map_err(of_limit)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_limit_of_a_namespace_stops_its_guests_where_the_host_s_would_not() {
    let server = shared().await.server;
    let plain = namespace(&server, "only-the-host-s", json!({})).await;
    let rows = rows();
    let checks = stream::iter(&rows).map(|row| row.check(&server, &plain)).buffer_unordered(4);
    let wrong: Vec<_> = checks.filter_map(async |result| result.err()).collect().await;
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn every_limit_of_a_namespace_has_a_test_that_reaches_it() {
    let all: BTreeSet<_> = GuestLimits::NAMES.iter().copied().collect();
    let rows = rows();
    let reached: Vec<_> = rows.iter().map(|row| row.limit).chain(ELSEWHERE.map(|(limit, _)| limit)).collect();
    assert_eq!(reached.iter().copied().collect::<BTreeSet<_>>(), all);
    assert_eq!(reached.len(), all.len(), "each once");
    for Row { limit, number, .. } in rows {
        assert!(GuestLimits::default().get(limit).is_some_and(|most| number < most), "{limit}");
    }
}

#[tokio::test]
async fn what_a_namespace_s_runs_write_down_is_bounded_as_it_is_told() {
    let server = shared().await.server;
    let api_with = async |name: &str, limits: Value| {
        let api = namespace(&server, name, json!({ "limits": limits })).await;
        for guest in ["probe", "rogue"] {
            api.deploy(guest_bytes(guest), "").await.expect("deployed");
        }
        api
    };
    let lines = async |name: &str, limits: Value| {
        let api = api_with(name, limits).await;
        let run = api.start("floods", json!(100)).await;
        assert_eq!(api.end(&run).await.state, RunState::Completed);
        api.logs(&run).await
    };
    let few = lines("only-log-lines", json!({ "log_lines": 5 })).await;
    assert!(few.len() == 6 && few[4] == "line 4" && few[5].contains("full"), "{few:?}");
    let narrow = lines("only-log-line-bytes", json!({ "log_line_bytes": 3 })).await;
    assert!(narrow.len() == 100 && narrow.iter().all(|line| line == "lin"), "{narrow:?}");
    let small = lines("only-log-bytes", json!({ "log_bytes": 20 })).await;
    assert!(small.len() == 4 && small[2] == "line 2" && small[3].contains("full"), "{small:?}");

    let warned = api_with("only-history-warning", json!({ "history_warning": 3 })).await;
    let run = warned.start("steps", json!(5)).await;
    warned.result(&run).await;
    assert!(warned.logs(&run).await.iter().any(|line| line.contains("has 3 events")));

    let short = api_with("only-history-bytes", json!({ "history_bytes": 1 })).await;
    let run = short.end(&short.start("steps", json!(5)).await).await;
    let report = document(&run);
    assert_eq!((&report["code"], run.events), (&json!("history-too-long"), 1), "{report}");
    assert!(
        report["message"].as_str().is_some_and(|message| message.contains("1 are the most (history_bytes)")),
        "{report}"
    );
}

#[tokio::test]
async fn no_limit_of_a_namespace_can_be_more_than_the_operator_allows() {
    let server = shared().await.server;
    let api = namespace(&server, "only-so-much", json!({})).await;
    let most = api.get("").await["limits"].clone();
    for name in GuestLimits::NAMES {
        let most = most[name].as_u64().expect("a number");
        for (number, status) in [(most + 1, 422), (most, 200), (most / 2, 200)] {
            let put = api.request(Method::PUT, "", json!({ "limits": { *name: number } }).to_string()).await;
            assert_eq!(put.status().as_u16(), status, "{name} = {number}");
        }
    }
}
