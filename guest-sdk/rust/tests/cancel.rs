//! Which parts of a workflow stop when the run is asked to, and which go on.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use windlass::testing::{Run, State, Test};
use windlass::{Either, Failure, Result, cancel_requested, cancellable, join, race, shield, signal, sleep, try_join};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Wait for ever, and say so when that ends.
async fn wait_as(name: &str) {
    struct Dropped<'a>(&'a str);

    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            windlass::log!("{} dropped", self.0);
        }
    }

    let _dropped = Dropped(name);
    sleep(seconds(1_000_000)).await;
}

/// What the run logged, in one line.
fn told<T>(run: &Run<T>) -> String {
    run.logs().into_iter().map(|line| line.message).collect::<Vec<_>>().join(", ")
}

/// Started, and asked to stop after a minute.
fn cancelled_after_a_minute(name: &str) -> Run<serde_json::Value> {
    let mut test = Test::new();
    test.at(seconds(60)).cancel();
    let mut run = test.start(name, ());
    run.advance(seconds(60));
    run
}

#[windlass::workflow]
async fn plain() -> Result<()> {
    wait_as("all").await;
    Ok(())
}

#[test]
fn without_scopes_the_whole_workflow_stops() {
    let run = cancelled_after_a_minute("plain");
    assert_eq!((run.state(), told(&run)), (State::Cancelled, "all dropped".to_owned()));
    assert_eq!(run.elapsed(), seconds(60));
}

#[windlass::workflow]
async fn cleans_up() -> Result<()> {
    let failure = cancellable(wait_as("inner")).await.expect_err("it is interrupted");
    windlass::log!("cleaning up, requested: {}", cancel_requested());
    sleep(seconds(5)).await;
    windlass::log!("clean");
    Err(failure)
}

#[test]
fn the_code_around_a_scope_goes_on_and_cleans_up() {
    let mut run = cancelled_after_a_minute("cleans_up");
    assert_eq!(run.state(), State::Waiting);
    assert_eq!(run.result_json().unwrap_err().code, "cancelled");
    assert_eq!((run.state(), run.elapsed()), (State::Cancelled, seconds(65)));
    assert_eq!(told(&run), "inner dropped, cleaning up, requested: true, clean");
}

#[windlass::workflow]
async fn begins_more_scopes() -> Result<&'static str> {
    let stopped = cancellable(async { cancellable(wait_as("innermost")).await.is_err() }).await;
    assert_eq!(stopped, Ok(true), "the scope around the innermost is not interrupted");
    cancellable(sleep(seconds(3))).await?;
    cancellable(async { cancellable(sleep(seconds(4))).await }).await.flatten()?;
    Ok("done")
}

#[test]
fn one_request_interrupts_one_scope_and_none_that_begins_later() {
    let mut run = cancelled_after_a_minute("begins_more_scopes");
    assert_eq!(run.result_json().unwrap(), "done");
    assert_eq!((run.state(), run.elapsed()), (State::Completed, seconds(67)));
}

#[windlass::workflow]
async fn side_by_side() -> Result<()> {
    let (a, b, ()) = join!(cancellable(wait_as("a")), cancellable(wait_as("b")), sleep(seconds(90)));
    windlass::log!("{a:?} {b:?}");
    Ok(())
}

#[test]
fn all_innermost_scopes_stop_and_what_is_beside_them_goes_on() {
    let mut run = cancelled_after_a_minute("side_by_side");
    assert_eq!(told(&run), "a dropped, b dropped");
    assert_eq!(run.result_json(), Ok(().into()));
    let cancelled = "Err(cancelled: the run was asked to stop)";
    let told_at_last = format!("a dropped, b dropped, {cancelled} {cancelled}");
    assert_eq!((told(&run), run.elapsed()), (told_at_last, seconds(90)));
}

#[windlass::workflow]
async fn fails_beside() -> Result<()> {
    try_join!(async { cancellable(wait_as("a")).await }, async { cancellable(wait_as("b")).await })?;
    Ok(())
}

#[test]
fn a_scope_that_is_dropped_by_its_interrupted_neighbour_leaves_no_trace() {
    let run = cancelled_after_a_minute("fails_beside");
    assert_eq!((run.state(), told(&run)), (State::Cancelled, "a dropped, b dropped".to_owned()));
}

#[windlass::workflow]
async fn many() -> Result<()> {
    let mut all: FuturesUnordered<_> = (0..3)
        .map(|number| async move {
            let name = format!("task {number}");
            if number == 1 {
                shield(sleep(seconds(70))).await
            } else {
                drop(cancellable(wait_as(&name)).await)
            }
            number
        })
        .collect();
    while let Some(number) = all.next().await {
        windlass::log!("{number} is over");
    }
    Ok(())
}

#[test]
fn scopes_in_futures_unordered_are_woken() {
    let mut run = cancelled_after_a_minute("many");
    run.result_json().unwrap();
    assert_eq!(run.elapsed(), seconds(70));
    let mut told: Vec<_> = run.logs().into_iter().map(|line| line.message).collect();
    assert_eq!(told.pop().unwrap(), "1 is over");
    told.sort();
    assert_eq!(told, ["0 is over", "2 is over", "task 0 dropped", "task 2 dropped"]);
}

#[windlass::workflow]
async fn loses_a_race() -> Result<()> {
    // Dropped half way, with a scope in it: what is interrupted later is not this one.
    let first = race(cancellable(async { cancellable(wait_as("loser")).await }), sleep(seconds(10))).await;
    assert!(matches!(first, Either::Right(())));
    wait_as("rest").await;
    Ok(())
}

#[test]
fn a_scope_that_lost_a_race_takes_no_request() {
    let run = cancelled_after_a_minute("loses_a_race");
    assert_eq!((run.state(), told(&run)), (State::Cancelled, "loser dropped, rest dropped".to_owned()));
}

#[windlass::workflow]
async fn shielded() -> Result<()> {
    shield(async {
        cancellable(sleep(seconds(80))).await?;
        windlass::log!("shielded, requested: {}", cancel_requested());
        sleep(seconds(10)).await;
        Ok::<_, Failure>(())
    })
    .await?;
    windlass::log!("after the shield");
    wait_as("rest").await;
    Ok(())
}

#[test]
fn a_shield_holds_a_request_up_until_something_after_it_waits() {
    let mut run = cancelled_after_a_minute("shielded");
    assert_eq!(run.state(), State::Waiting);
    run.advance(seconds(30));
    assert_eq!((run.state(), run.elapsed()), (State::Cancelled, seconds(90)));
    assert_eq!(told(&run), "shielded, requested: true, after the shield, rest dropped");
}

#[windlass::workflow]
async fn shielded_to_the_end() -> Result<u32> {
    shield(sleep(seconds(90))).await;
    Ok(7)
}

#[test]
fn a_workflow_that_waits_for_nothing_after_its_shield_completes() {
    let mut run = cancelled_after_a_minute("shielded_to_the_end");
    assert_eq!((run.result_json().unwrap(), run.state()), (7.into(), State::Completed));
}

#[windlass::workflow]
async fn shield_in_a_scope() -> Result<()> {
    let inner = cancellable(async {
        cancellable(async {
            shield(sleep(seconds(90))).await;
            wait_as("inner").await;
        })
        .await
    });
    let failure = inner.await.flatten().expect_err("it is interrupted");
    sleep(seconds(10)).await;
    windlass::log!("clean");
    Err(failure)
}

#[test]
fn what_a_shield_held_up_is_taken_once_by_the_innermost_scope_around_it() {
    let mut run = cancelled_after_a_minute("shield_in_a_scope");
    assert_eq!(run.result_json().unwrap_err().code, "cancelled");
    assert_eq!((told(&run), run.elapsed()), ("inner dropped, clean".to_owned(), seconds(100)));
}

#[windlass::workflow]
async fn shields_of_unequal_length() -> Result<()> {
    let branch = async |name: &'static str, length| {
        let result = cancellable(async {
            shield(sleep(seconds(length))).await;
            wait_as(name).await;
        })
        .await;
        sleep(seconds(1)).await;
        windlass::log!("{name} clean");
        result
    };
    let (left, right) = join!(branch("left", 70), branch("right", 80));
    left.and(right)
}

#[test]
fn each_branch_waits_for_its_own_shield() {
    let mut run = cancelled_after_a_minute("shields_of_unequal_length");
    assert_eq!(run.result_json().unwrap_err().code, "cancelled");
    assert_eq!(told(&run), "left dropped, left clean, right dropped, right clean");
    assert_eq!(run.elapsed(), seconds(81));
}

#[windlass::workflow]
async fn scope_after_a_shield() -> Result<&'static str> {
    shield(sleep(seconds(70))).await;
    let result = cancellable(wait_as("later")).await;
    sleep(seconds(1)).await;
    Ok(if result.is_err() { "inner" } else { "none" })
}

#[test]
fn a_request_that_was_held_up_reaches_the_scope_that_runs_when_it_takes_effect() {
    let mut run = cancelled_after_a_minute("scope_after_a_shield");
    assert_eq!(run.result_json().unwrap(), "inner");
}

#[windlass::workflow]
async fn nothing_but_a_neighbour_s_shield() -> Result<()> {
    let (result, ()) = join!(cancellable(wait_as("scope")), shield(sleep(seconds(70))));
    windlass::log!("both over, {}", result.is_err());
    sleep(seconds(10)).await;
    windlass::log!("undisturbed");
    Ok(())
}

#[test]
fn a_request_that_one_scope_took_is_not_taken_again_after_a_shield() {
    let mut run = cancelled_after_a_minute("nothing_but_a_neighbour_s_shield");
    run.result_json().unwrap();
    assert_eq!(told(&run), "scope dropped, both over, true, undisturbed");
}

#[windlass::workflow]
async fn moved_out() -> Result<()> {
    type Shared = Rc<RefCell<Option<Pin<Box<dyn Future<Output = Result<()>>>>>>>;
    let kept: Shared = Rc::default();
    let inner = kept.clone();
    // Begun in one scope, which ends, and finished outside of it.
    cancellable(async move {
        let mut scope: Pin<Box<dyn Future<Output = Result<()>>>> = Box::pin(cancellable(wait_as("moved")));
        assert!(futures_util::poll!(&mut scope).is_pending());
        *inner.borrow_mut() = Some(scope);
    })
    .await?;
    let scope = kept.take().expect("it was kept");
    let result = scope.await;
    sleep(seconds(1)).await;
    windlass::log!("{result:?}");
    Ok(())
}

#[test]
fn a_scope_that_outlives_the_one_it_began_in_is_still_interrupted() {
    let mut run = cancelled_after_a_minute("moved_out");
    run.result_json().unwrap();
    assert_eq!(told(&run), "moved dropped, Err(cancelled: the run was asked to stop)");
}

#[windlass::workflow]
async fn ready_at_once() -> Result<u32> {
    let number = cancellable(async { 7 }).await?;
    shield(async {}).await;
    Ok(number)
}

#[test]
fn a_scope_that_does_not_wait_is_no_more_than_its_future() {
    assert_eq!(Test::new().start(ready_at_once, ()).result(), Ok(7));
}

#[windlass::workflow]
async fn asks_about_it() -> Result<(bool, bool)> {
    let before = cancel_requested();
    shield(signal::<()>("go")).await?;
    Ok((before, cancel_requested()))
}

#[test]
fn a_workflow_can_ask_whether_it_was_asked_to_stop() {
    let mut run = Test::new().start(asks_about_it, ());
    run.cancel().cancel().signal("go", ());
    assert_eq!(run.result(), Ok((false, true)));
    assert_eq!(run.history().events.len(), 2, "it is asked once");
    let mut run = Test::new().start(asks_about_it, ());
    run.signal("go", ());
    assert_eq!(run.result(), Ok((false, false)));
}

#[windlass::workflow]
async fn ignores_it() -> Result<()> {
    if cancellable(signal::<()>("never")).await.is_err() {
        return Err(Failure::new("stopped-otherwise", "it has a word of its own"));
    }
    Ok(())
}

#[test]
fn a_run_that_ends_with_another_code_is_no_cancelled_run() {
    assert_eq!(cancelled_after_a_minute("ignores_it").state(), State::Failed);
}
