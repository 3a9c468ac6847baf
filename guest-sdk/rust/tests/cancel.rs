//! Which parts of a workflow stop when the run is asked to, and which go on.

mod request;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use windlass::testing::{State, Test};
use windlass::{Either, Failure, Result, cancel_requested, cancellable, join, race, shield, signal, sleep, try_join};

use request::{cancelled_after_a_minute, seconds, told, wait_as};

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

#[windlass::workflow]
async fn of_all_lengths() -> Result<usize> {
    // Scopes end in another order than they began in, and 20 of 40 have not ended when the request comes.
    let scopes = (0..40).map(|number| cancellable(sleep(seconds(number * 17 % 40 * 3 + 1))));
    let results = windlass::join_all(scopes).await;
    Ok(results.iter().filter(|result| result.is_err()).count())
}

#[test]
fn scopes_that_end_in_any_order_leave_the_others_in_reach() {
    let mut run = cancelled_after_a_minute("of_all_lengths");
    assert_eq!((run.result_json().unwrap(), run.elapsed()), (20.into(), seconds(60)));
}
