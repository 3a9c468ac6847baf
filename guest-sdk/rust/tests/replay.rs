//! A recorded history against a workflow that may have changed.

use std::time::Duration;

use windlass::testing::{Divergence, History, Test, replay};
use windlass::{Failure, Result, random, signal, sleep};

#[windlass::step(retry(max_attempts = 2, initial = "1s", jitter = 0.0))]
async fn charge(cents: u64, currency: &str) -> Result<String> {
    Ok(format!("{currency}-{cents}"))
}

#[windlass::workflow]
async fn sale(cents: u64) -> Result<String> {
    let receipt = charge(cents, "EUR").await?;
    sleep(Duration::from_secs(60)).await;
    let rated = signal::<u8>("rating").timeout(Duration::from_secs(3600)).await?;
    if rated.is_none() {
        return Err(Failure::new("no-rating", receipt));
    }
    Ok(receipt)
}

/// The same as `sale`, with one thing changed.
#[windlass::workflow]
async fn changed_sale(cents: u64) -> Result<String> {
    let receipt = charge(cents, "USD").await?;
    Ok(receipt)
}

#[windlass::workflow]
async fn shorter_sale(cents: u64) -> Result<String> {
    charge(cents, "EUR").await
}

#[windlass::workflow]
async fn hurried_sale(cents: u64) -> Result<String> {
    let receipt = charge(cents, "EUR").await?;
    signal::<u8>("rating").await?;
    Ok(receipt)
}

#[windlass::workflow]
async fn lazy_sale(cents: u64) -> Result<u64> {
    std::future::pending::<()>().await;
    Ok(cents)
}

fn recorded() -> History {
    let mut test = Test::new();
    test.step_attempts("charge", [Err(Failure::new("busy", "later")), Ok("receipt-1")]);
    test.at(Duration::from_secs(100)).signal("rating", 5);
    let mut run = test.start(sale, 450);
    assert_eq!(run.result(), Ok("receipt-1".to_owned()));
    run.history()
}

fn message(result: std::result::Result<(), Box<Divergence>>) -> String {
    result.expect_err("it differs").to_string()
}

#[test]
fn the_same_workflow_makes_the_same_calls() {
    assert_eq!(replay(sale, &recorded()), Ok(()));
    assert_eq!(replay("sale", &recorded()), Ok(()));
}

#[test]
fn a_history_that_is_not_at_its_end_replays_as_far_as_it_goes() {
    let mut run = Test::new().start(sale, 450);
    run.advance(Duration::from_secs(70)).cancel();
    assert_eq!(replay(sale, &run.history()), Ok(()));
    let mut run = Test::new().start(sale, 450);
    run.advance(Duration::from_secs(70));
    assert_eq!(replay(sale, &run.history()), Ok(()));
}

#[test]
fn what_differs_is_named() {
    let history = recorded();
    assert_eq!(
        message(replay(changed_sale, &history)),
        "event 0 of the history answers call 0, the step `charge` with [450,\"EUR\"]; this time that is call 0, the step \
         `charge` with [450,\"USD\"]"
    );
    assert_eq!(
        message(replay(hurried_sale, &history)),
        "event 1 of the history answers call 1, a sleep of 60000000 µs; this time that is call 1, the signal `rating`"
    );
    assert_eq!(
        message(replay(shorter_sale, &history)),
        "event 1 of the history answers call 1, a sleep of 60000000 µs; this time the workflow had ended by then"
    );
    assert_eq!(
        message(replay(lazy_sale, &history)),
        "event 0 of the history answers call 0, the step `charge` with [450,\"EUR\"]; this time the workflow does not \
         wait for that call"
    );
}

#[test]
fn a_history_is_written_and_read_back() {
    let history = recorded();
    let json = serde_json::to_string_pretty(&history).unwrap();
    assert_eq!(json.parse::<History>().unwrap(), history);
}

/// As `GET …/runs/{id}/history` and `GET …/runs/{id}` answered.
const EVENTS: &str = r#"{
  "events": [
    {"seq": 0, "kind": "step", "call": 0, "name": "charge", "input": [450, "EUR"], "attempt": 2,
     "asked_at": "2026-11-21T09:43:19.097000Z", "at": "2026-11-21T09:43:20.154321Z", "result": "receipt-1"},
    {"seq": 1, "kind": "sleep", "call": 1, "input": 60000000,
     "asked_at": "2026-11-21T09:43:20.154321Z", "at": "2026-11-21T09:44:20.155000Z", "result": null},
    {"seq": 2, "kind": "cancel-requested", "at": "2026-11-21T09:44:21.000000Z"}
  ],
  "attempts": [
    {"call": 0, "attempt": 1, "started_at": "2026-11-21T09:43:19.098000Z", "ended_at": "2026-11-21T09:43:19.099000Z",
     "next_at": "2026-11-21T09:43:20.099000Z",
     "failure": {"code": "busy", "message": "later", "retryable": true}}
  ]
}"#;
const RUN: &str = r#"{
  "run_id": "01a1fd7d-2337-7596-ab7d-29fd35d2c62a", "workflow": "sale", "component": "shop", "version": 3,
  "state": "cancelled", "durability": "output", "input": 450, "started_at": "2026-11-21T09:43:19.097000Z", "events": 3,
  "failure": {"code": "cancelled", "message": "the run was asked to stop", "retryable": true}
}"#;

#[test]
fn a_history_of_a_host_is_replayed() {
    let history: History = EVENTS.parse().unwrap();
    let history = history.with_run(RUN).unwrap();
    assert_eq!(replay(sale, &history), Ok(()));
    assert_eq!(message(replay(shorter_sale, &history)).split(';').next().unwrap().split(' ').nth(1), Some("1"));
    assert_eq!(history.attempts[0].failure, Some(Failure::new("busy", "later")));
}

#[test]
fn pages_of_a_history_are_put_together() {
    let whole: History = EVENTS.parse().unwrap();
    let (mut first, mut second) = (whole.clone(), whole.clone());
    second.events.remove(0);
    second.attempts.clear();
    first.events.truncate(1);
    first.extend([second]);
    assert_eq!(first, whole);
}

#[test]
#[should_panic = "event 0 of the history is missing: here is number 1"]
fn a_history_with_a_gap_is_refused() {
    let mut history = EVENTS.parse::<History>().unwrap().with_run(RUN).unwrap();
    history.events.remove(0);
    drop(replay(sale, &history));
}

#[test]
#[should_panic = "with_run"]
fn a_history_without_an_input_is_refused() {
    drop(replay(sale, &EVENTS.parse().unwrap()));
}

#[windlass::workflow]
async fn by_chance() -> Result<()> {
    sleep(Duration::from_secs(random() % 1000)).await;
    Ok(())
}

#[test]
fn chance_is_the_same_in_a_replay() {
    let mut run = Test::new().seed(99).start(by_chance, ());
    run.result().unwrap();
    assert_eq!(replay(by_chance, &run.history()), Ok(()));
}
