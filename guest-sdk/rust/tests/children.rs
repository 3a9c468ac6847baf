//! Runs that a run starts: they share its time, and end as they were told to.

mod panics;
mod seconds;

use std::time::Duration;

use serde_json::{Value, json};
use windlass::testing::{Kind, State, Test, replay};
use windlass::{Either, Failure, Result, child, join_all, race, signal, sleep};

use panics::panic_of;
use seconds::seconds;

#[windlass::workflow]
async fn nap(length: u64) -> Result<u64> {
    sleep(seconds(length)).await;
    windlass::log!("slept {length}");
    if length == 13 { Err(Failure::new("bad-dream", "it was dark").fatal()) } else { Ok(length * 2) }
}

#[windlass::workflow]
async fn naps(lengths: Vec<u64>) -> Result<Vec<Value>> {
    let ends = join_all(lengths.iter().map(|length| child::<u64>("nap", length))).await;
    Ok(ends.into_iter().map(|end| end.map_or_else(|failure| json!(failure.code), |slept| json!(slept))).collect())
}

#[test]
fn children_run_beside_each_other_on_the_time_of_their_parent() {
    let mut run = Test::new().start(naps, [30, 10, 13]);
    assert_eq!(run.children().len(), 3);
    run.advance(seconds(10));
    assert_eq!((run.children()[1].state(), run.child(nap).state()), (State::Completed, State::Waiting));
    assert_eq!(run.result(), Ok(vec![json!(60), json!(20), json!("bad-dream")]));
    assert_eq!((run.elapsed(), run.children()[2].elapsed()), (seconds(30), seconds(13)));
    assert_eq!(run.child("nap").run_id(), run.children()[0].run_id());
    assert_eq!(run.children()[1].logs()[0].message, "slept 10");
    let lines: Vec<_> = run.history().events.iter().map(ToString::to_string).collect();
    assert_eq!(lines[0], "0 2000-01-01T00:00:10.000000Z call 1, the child `nap` with 10: 20");
    assert_eq!(replay(naps, &run.history()), Ok(()));
    assert_eq!(replay(nap, &run.child(nap).history()), Ok(()));
}

#[test]
fn a_workflow_that_nobody_knows_cannot_be_a_child() {
    #[windlass::workflow]
    async fn hopes() -> Result<()> {
        child("nobody", &()).await
    }
    let failure = Test::new().start(hopes, ()).result().unwrap_err();
    assert_eq!((&*failure.code, failure.retryable), ("unknown-workflow", false));
}

#[test]
fn a_child_that_is_a_script_takes_its_time_and_is_no_run() {
    let mut test = Test::new();
    let script = test.child("nap", |length: u64| Ok(length + 1));
    script.takes(seconds(3));
    let mut run = test.start(naps, [30, 10]);
    assert_eq!(run.result(), Ok(vec![json!(31), json!(11)]));
    assert_eq!((run.elapsed(), script.attempts()), (seconds(3), 2));
    assert!(run.children().is_empty());
    assert!(panic_of(|| run.child(nap)).contains("started no `nap` so far; it has started []"));
    test.child("nap", |_: String| Ok(0));
    let message = panic_of(|| test.start(naps, [1]));
    assert!(message.contains("the input of the child `nap`") && message.contains("the script takes"), "{message}");
}

#[windlass::workflow]
async fn impatient(abandon: bool) -> Result<bool> {
    let nap = child::<u64>("nap", &100);
    let nap = if abandon { nap.abandon() } else { nap };
    let slept = race(nap, sleep(seconds(5))).await;
    sleep(seconds(1)).await;
    Ok(matches!(slept, Either::Left(_)))
}

#[test]
fn a_child_that_nobody_waits_for_any_more_is_asked_to_stop() {
    let mut run = Test::new().start(impatient, false);
    run.advance(seconds(5));
    let child = run.child(nap);
    assert_eq!((child.state(), child.elapsed()), (State::Cancelled, seconds(5)));
    let event = &child.history().events[0];
    assert_eq!((event.kind, &*event.name), (Kind::CancelRequested, "parent-closed"));
    assert_eq!(event.to_string(), "0 2000-01-01T00:00:05.000000Z cancel-requested: parent-closed");
    assert_eq!(run.result(), Ok(false));
    assert!(run.history().of("nap").is_empty());
}

#[test]
fn a_child_that_is_abandoned_goes_on_after_its_parent() {
    let mut run = Test::new().start(impatient, true);
    assert_eq!(run.result(), Ok(false));
    assert_eq!((run.elapsed(), run.child(nap).state()), (seconds(6), State::Waiting));
    assert_eq!(run.child(nap).result(), Ok(200));
    assert_eq!((run.elapsed(), run.child(nap).elapsed()), (seconds(6), seconds(100)));
}

#[windlass::workflow]
async fn ends_early() -> Result<()> {
    let mut nap = child::<u64>("nap", &100);
    windlass::publish("child", &nap.run_id()?);
    sleep(seconds(1)).await;
    // It ends with the child still in its hands.
    Err(Failure::new("fed-up", "enough"))
}

#[test]
fn a_child_is_asked_to_stop_when_its_parent_ends() {
    let mut run = Test::new().start(ends_early, ());
    assert_eq!(run.published::<String>("child"), Some(run.child(nap).run_id()));
    assert_eq!(run.result().unwrap_err().code, "fed-up");
    assert_eq!(run.child(nap).result().unwrap_err().message, "the run that started this one has no use for it");
    assert_eq!((run.child(nap).state(), run.child(nap).elapsed()), (State::Cancelled, seconds(1)));
}

#[windlass::workflow]
async fn sends_off() -> Result<String> {
    child::<u64>("nap", &100).detach().await
}

#[test]
fn a_detached_child_goes_on_by_itself_and_gives_its_id() {
    let mut run = Test::new().start(sends_off, ());
    assert_eq!(run.result(), Ok(run.child(nap).run_id()));
    assert_eq!((run.elapsed(), run.state()), (Duration::ZERO, State::Completed));
    assert_eq!(run.history().events[0].outcome, Some(Ok(Value::Null)));
    assert_eq!(run.child(nap).result(), Ok(200));
    assert_eq!(replay(sends_off, &run.history()), Ok(()));
}

#[test]
fn a_child_knows_its_parent_and_has_its_own_chance() {
    #[windlass::workflow]
    async fn about_itself() -> Result<(Option<String>, u64)> {
        Ok((windlass::run::current().parent, windlass::random()))
    }
    #[windlass::workflow]
    async fn asks_two() -> Result<Vec<(Option<String>, u64)>> {
        join_all((0..2).map(|_| child("about_itself", &()))).await.into_iter().collect()
    }
    let mut run = Test::new().start(asks_two, ());
    let said = run.result().unwrap();
    assert_eq!(said[0].0, Some(run.run_id()));
    assert_ne!(said[0].1, said[1].1);
    assert_eq!(said, Test::new().start(asks_two, ()).result().unwrap());
    let ids: Vec<_> = run.children().iter().map(windlass::testing::Run::run_id).collect();
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 36 && &id[14..15] == "8"), "{ids:?}");
}

#[windlass::workflow]
async fn grandparent() -> Result<()> {
    child::<()>("parent", &()).await
}

#[windlass::workflow]
async fn parent() -> Result<()> {
    child::<u64>("nap", &100).await.map(drop)
}

#[test]
fn a_request_to_stop_goes_down_the_generations() {
    let mut run = Test::new().start(grandparent, ());
    run.advance(seconds(7)).cancel();
    assert_eq!(run.state(), State::Cancelled);
    assert_eq!(run.child(parent).child(nap).state(), State::Cancelled);
    assert_eq!(run.children().len(), 1, "a grandchild is no child");
}

#[test]
fn a_child_whose_input_json_cannot_say_is_not_started() {
    #[windlass::workflow]
    async fn says_it_badly() -> Result<(String, String)> {
        let mut nap = child::<u64>("nap", &std::collections::BTreeMap::from([((1, 2), 3)]));
        let (id, end) = (nap.run_id().expect_err("it has none"), nap.await.expect_err("it never began"));
        Ok((id.code, end.code))
    }
    let mut run = Test::new().start(says_it_badly, ());
    let invalid = || "invalid-payload".to_owned();
    assert_eq!(run.result(), Ok((invalid(), invalid())));
    assert!(run.history().events.is_empty() && run.children().is_empty());
}

#[test]
fn how_a_child_goes_on_is_settled_before_it_is_started() {
    #[windlass::workflow]
    async fn too_late() -> Result<String> {
        let mut nap = child::<u64>("nap", &1);
        nap.run_id()?;
        nap.detach().await
    }
    assert!(panic_of(|| Test::new().start(too_late, ())).contains("was started before `detach` was called"));
}

#[test]
fn a_parent_that_waits_for_a_child_that_waits_says_what_for() {
    #[windlass::workflow]
    async fn waits_for_word() -> Result<()> {
        signal("word").await
    }
    #[windlass::workflow]
    async fn waits_for_child() -> Result<()> {
        child("waits_for_word", &()).await
    }
    let mut run = Test::new().start(waits_for_child, ());
    let message = panic_of(|| run.result());
    assert!(message.contains("its child `waits_for_word` for call 0, the signal `word`"), "{message}");
    assert!(message.contains("run.child(\"waits_for_word\")"), "{message}");
    run.child(waits_for_word).signal("word", ());
    assert_eq!(run.result(), Ok(()));
}
