//! What steps do in a test: their own code or a script, with retries and timeouts.

mod panics;

use std::time::Duration;

use windlass::step::{RetryPolicy, attempt};
use windlass::testing::Test;
use windlass::{Failure, Result, http, sleep};

use panics::panic_of;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[windlass::step(retry(max_attempts = 4, initial = "1s", factor = 3.0, maximum = "5s", jitter = 0.5), timeout = "10s")]
async fn flaky(failures: u32) -> Result<u32> {
    let number = attempt().number;
    windlass::log!("attempt {number}");
    if number <= failures { Err(Failure::new("too-early", number)) } else { Ok(number) }
}

#[windlass::workflow]
async fn tries(failures: u32) -> Result<u32> {
    flaky(failures).await
}

#[test]
fn a_step_is_retried_as_it_declares_on_virtual_time() {
    let mut run = Test::new().start(tries, 3);
    assert_eq!(run.result(), Ok(4));
    let history = run.history();
    assert_eq!((history.events[0].attempt, run.elapsed()), (Some(4), seconds(1 + 3 + 5)));
    let attempts: Vec<_> = history.attempts.iter().map(|failed| (failed.attempt, failed.next_at)).collect();
    let at = |after| run.now() - seconds(9) + seconds(after);
    assert_eq!(attempts, [(1, Some(at(1))), (2, Some(at(4))), (3, Some(at(9)))]);
    let lines: Vec<_> = run.logs().into_iter().map(|line| (line.call, line.attempt, line.message)).collect();
    assert_eq!(lines[3], (Some(0), Some(4), "attempt 4".to_owned()));
}

#[test]
fn a_step_that_always_fails_ends_with_its_last_failure() {
    let mut run = Test::new().start(tries, 9);
    assert_eq!(run.result(), Err(Failure::new("too-early", 4)));
    assert_eq!(run.history().attempts.len(), 4);
}

#[test]
fn jitter_makes_waits_shorter_the_same_way_each_time() {
    let elapsed = |seed| {
        let mut run = Test::new().jitter().seed(seed).start(tries, 3);
        run.result().unwrap();
        run.elapsed()
    };
    assert!(elapsed(1) < seconds(9) && elapsed(1) > Duration::from_millis(4_500));
    assert_eq!(elapsed(1), elapsed(1));
    assert_ne!(elapsed(1), elapsed(2));
}

#[test]
fn a_failure_that_no_attempt_can_mend_ends_the_step_at_once() {
    let mut test = Test::new();
    let flaky = test.step("flaky", |_: u32| Result::<u32>::Err(Failure::new("no-hope", "none").fatal()));
    let mut run = test.start(tries, 0);
    assert_eq!(run.result().unwrap_err().code, "no-hope");
    assert_eq!((flaky.attempts(), run.elapsed()), (1, Duration::ZERO));
}

#[test]
fn an_attempt_that_takes_too_long_times_out_and_is_retried() {
    let mut test = Test::new();
    test.step("flaky", |_: u32| Ok(1)).takes(seconds(11));
    let mut run = test.start(tries, 0);
    let failure = run.result().unwrap_err();
    assert_eq!((&*failure.code, &*failure.message), ("timeout", "the attempt took longer than 10s"));
    assert_eq!(run.elapsed(), seconds(4 * 10 + 1 + 3 + 5));
}

#[windlass::workflow]
async fn in_its_own_way() -> Result<u32> {
    let retry = RetryPolicy { max_attempts: 2, initial: seconds(60), ..RetryPolicy::DEFAULT };
    flaky(1).retry(retry).timeout(seconds(100)).await
}

#[test]
fn a_call_has_its_own_policy_and_timeout() {
    let mut test = Test::new();
    let script = test.step_attempts("flaky", [Err(Failure::new("once", "only")), Ok(7)]);
    script.takes(seconds(99));
    let mut run = test.start(in_its_own_way, ());
    assert_eq!(run.result(), Ok(7));
    assert_eq!(run.elapsed(), seconds(99 + 60 + 99));
}

#[windlass::workflow]
async fn gives_up_waiting() -> Result<bool> {
    let flaky = async { drop(flaky(0).await) };
    windlass::race(flaky, sleep(seconds(5))).await;
    sleep(seconds(100)).await;
    Ok(true)
}

#[test]
fn a_step_that_is_cancelled_has_no_outcome() {
    let mut test = Test::new();
    test.step("flaky", |_: u32| Ok(1)).takes(seconds(8));
    let mut run = test.start(gives_up_waiting, ());
    assert_eq!(run.result(), Ok(true));
    assert!(run.history().of("flaky").is_empty());
}

#[test]
fn steps_without_a_script_run_their_own_code_and_may_crash() {
    #[windlass::step(retry(max_attempts = 2))]
    async fn crashes(number: u32) -> Result<()> {
        panic!("{number} is too much")
    }
    #[windlass::workflow]
    async fn calls_it() -> Result<()> {
        crashes(7).await
    }
    let mut run = Test::new().start(calls_it, ());
    let failure = run.result().unwrap_err();
    assert_eq!((&*failure.code, &*failure.message), ("step-trap", "7 is too much"));
    assert_eq!(run.history().attempts.len(), 2);
}

#[windlass::step(http = ["example.com"])]
async fn fetch() -> Result<String> {
    http::get("https://example.com/").send().await?.success()?.text()
}

#[windlass::workflow]
async fn fetches() -> Result<String> {
    fetch().await
}

#[test]
fn a_step_that_needs_http_asks_for_a_script() {
    let message = panic_of(|| Test::new().start(fetches, ()));
    assert!(message.contains("`fetch` sends HTTP to https://example.com/"), "{message}");
    assert!(message.contains("test.step(\"fetch\""), "{message}");
    let mut test = Test::new();
    test.step("fetch", |()| Ok("page"));
    assert_eq!(test.start(fetches, ()).result(), Ok("page".to_owned()));
}

#[test]
fn a_step_that_waits_natively_or_acts_like_a_workflow_is_explained() {
    #[windlass::step]
    async fn hangs() -> Result<()> {
        std::future::pending().await
    }
    #[windlass::step]
    async fn sleeps() -> Result<()> {
        sleep(seconds(1)).await;
        Ok(())
    }
    #[windlass::workflow]
    async fn calls_one(which: bool) -> Result<()> {
        if which { hangs().await } else { sleeps().await }
    }
    assert!(panic_of(|| Test::new().start(calls_one, true)).contains("test.step(\"hangs\""));
    assert!(panic_of(|| Test::new().start(calls_one, false)).contains("not-in-this-role: timer.sleep"));
}

#[test]
fn a_script_that_does_not_fit_is_explained() {
    let mut test = Test::new();
    assert!(panic_of(|| test.step("no_such_step", |()| Ok(()))).contains("no step is called `no_such_step`"));
    test.step("flaky", |_: String| Ok(0));
    assert!(panic_of(|| test.start(tries, 1)).contains("the script takes `alloc::string::String`"));
    test.step_attempts("flaky", [Result::<u32>::Err(Failure::new("no", "no"))]);
    let mut run = test.start(tries, 1);
    assert!(panic_of(|| run.result()).contains("the script of the step `flaky` ends after 1 attempts"));
}

#[test]
fn a_step_knows_its_attempt() {
    #[windlass::step]
    async fn key() -> Result<String> {
        Ok(format!("{} {}", attempt().idempotency_key, attempt().max_attempts))
    }
    #[windlass::workflow]
    async fn asks() -> Result<String> {
        key().await
    }
    let key = Test::new().start(asks, ()).result().unwrap();
    assert_eq!(key, "default/00000000-0000-7000-8000-000000000000/0 10");
}
