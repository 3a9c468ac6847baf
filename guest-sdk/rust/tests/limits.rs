//! What stands still or takes too long: deadlines, total timeouts, signs of life.

mod panics;
mod seconds;

use windlass::testing::{State, Test, replay};
use windlass::{CancelReason, Failure, Result, cancel_reason, cancellable, heartbeat, run, signal, step};

use panics::panic_of;
use seconds::seconds;

#[windlass::step(retry(max_attempts = 5, initial = "4s", factor = 1.0, jitter = 0.0), total_timeout = "10s")]
async fn slow(number: u32) -> Result<u32> {
    Ok(number)
}

#[windlass::workflow]
async fn calls_slow(own: Option<u64>) -> Result<u32> {
    let call = slow(7);
    if let Some(own) = own { call.total_timeout(seconds(own)).await } else { call.await }
}

#[test]
fn a_step_that_takes_too_long_in_all_is_stopped_and_its_last_failure_is_the_cause() {
    let mut test = Test::new();
    let script = test.step("slow", |_: u32| Result::<u32>::Err(Failure::new("busy", step::attempt().number)));
    script.takes(seconds(1));
    let mut run = test.start(calls_slow, ());
    let failure = run.result().unwrap_err();
    assert_eq!((&*failure.code, failure.retryable), ("total-timeout", false));
    assert_eq!(failure.message, "the step took longer than 10s, all attempts together");
    assert_eq!(failure.cause.unwrap().message, "2", "the third attempt is stopped");
    assert_eq!((run.elapsed(), script.attempts()), (seconds(10), 3));
    let history = run.history();
    assert_eq!((history.events[0].attempt, history.attempts.len()), (Some(3), 2));
    assert_eq!(replay(calls_slow, &history), Ok(()));
    let json = serde_json::to_string(&history).unwrap();
    assert_eq!(json.parse::<windlass::testing::History>().unwrap(), history);
}

#[test]
fn a_step_that_is_over_exactly_in_time_is_in_time() {
    let mut test = Test::new();
    let script = test.step("slow", |number: u32| Ok(number));
    script.takes(seconds(10));
    assert_eq!(test.start(calls_slow, ()).result(), Ok(7));
    script.takes(seconds(11));
    let failure = test.start(calls_slow, ()).result().unwrap_err();
    assert_eq!((&*failure.code, failure.cause), ("total-timeout", None));
    assert_eq!(test.start(calls_slow, 12).result(), Ok(7), "the call has a word in it");
}

#[windlass::workflow]
async fn waits() -> Result<bool> {
    assert!(run::current().deadline.is_some());
    let waited = cancellable(signal::<()>("go")).await;
    windlass::log!("{:?}", cancel_reason());
    if cancel_reason() == Some(CancelReason::Deadline) {
        return Ok(false);
    }
    waited.flatten().map(|()| true)
}

#[test]
fn a_run_is_asked_to_stop_when_its_deadline_comes() {
    let mut run = Test::new().timeout(seconds(60)).start(waits, ());
    assert_eq!(run.result(), Ok(false));
    assert_eq!((run.elapsed(), &*run.history().events[0].name), (seconds(60), "deadline"));
    assert_eq!(replay(waits, &run.history()), Ok(()));
}

#[test]
fn a_run_that_was_asked_to_stop_before_its_deadline_is_not_asked_again() {
    let mut test = Test::new().timeout(seconds(60));
    test.at(seconds(5)).cancel();
    let mut run = test.start(waits, ());
    assert_eq!(run.result().unwrap_err().code, "cancelled");
    assert_eq!((run.state(), run.elapsed()), (State::Cancelled, seconds(5)));
    assert_eq!(run.logs()[0].message, "Some(CancelReason::Requested)");
    let mut run = Test::new().timeout(seconds(60)).start(waits, ());
    run.advance(seconds(59)).signal("go", ());
    assert_eq!((run.result(), run.elapsed()), (Ok(true), seconds(59)));
}

#[test]
fn a_run_that_outlives_its_deadline_has_failed() {
    #[windlass::workflow]
    async fn plain() -> Result<()> {
        signal("never").await
    }
    let mut run = Test::new().timeout(seconds(1)).start(plain, ());
    assert_eq!(run.result().unwrap_err().code, "deadline-exceeded");
    assert_eq!(run.state(), State::Failed);
}

/// Copies until the attempt dies, and goes on from there.
#[windlass::step(retry(max_attempts = 3, initial = "1s", factor = 1.0))]
async fn copy(pages: u32) -> Result<u32> {
    let first = step::attempt().heartbeat::<u32>().map_or(0, |last| last + 1);
    for page in first..pages {
        heartbeat::report(&page)?;
        if page % 4 == 3 {
            return Err(Failure::new("tired", page));
        }
    }
    Ok(pages - first)
}

#[windlass::workflow]
async fn copies(pages: u32) -> Result<u32> {
    copy(pages).await
}

#[test]
fn an_attempt_goes_on_from_what_the_last_one_has_reported() {
    let mut run = Test::new().start(copies, 10);
    assert_eq!(run.heartbeat::<u32>("copy"), Some(3));
    assert_eq!(run.result(), Ok(2));
    let reported: Vec<_> = run.history().attempts.into_iter().map(|attempt| attempt.heartbeat.unwrap()).collect();
    assert_eq!(reported, [3, 7]);
    assert_eq!((run.heartbeat::<u32>("copy"), run.heartbeat::<u32>("no step")), (Some(9), None));
    assert!(panic_of(|| run.heartbeat::<String>("copy")).contains("what `copy` reported is no"));
}

#[test]
fn a_script_reports_and_gets_what_was_reported() {
    let mut test = Test::new();
    test.step("copy", |pages: u32| match step::attempt().heartbeat::<String>() {
        None => {
            heartbeat::report(&"half")?;
            Err(Failure::new("lost", "the rest is gone"))
        }
        Some(half) => {
            assert_eq!(half, "half");
            Ok(pages / 2)
        }
    });
    assert_eq!(test.start(copies, 10).result(), Ok(5));
}

#[test]
fn a_workflow_has_no_signs_of_life_and_a_step_no_children() {
    #[windlass::workflow]
    async fn reports() -> Result<()> {
        heartbeat::report(&1)
    }
    #[windlass::step]
    async fn starts_child() -> Result<()> {
        windlass::child("copies", &1).await
    }
    #[windlass::workflow]
    async fn runs_step() -> Result<()> {
        starts_child().await
    }
    assert!(panic_of(|| Test::new().start(reports, ())).starts_with("not-in-this-role: heartbeat.report"));
    assert!(panic_of(|| Test::new().start(runs_step, ())).starts_with("not-in-this-role: child.start"));
}
