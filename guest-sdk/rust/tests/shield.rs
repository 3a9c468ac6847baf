//! What a shield holds up, and where a request takes effect after it.

mod request;

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use windlass::testing::State;
use windlass::{Failure, Result, cancel_requested, cancellable, join, shield, sleep};

use request::{cancelled_after_a_minute, seconds, told, wait_as};

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

type Boxed = Pin<Box<dyn Future<Output = Result<()>>>>;

/// Begin a future here, to be finished elsewhere.
async fn begun(future: impl Future<Output = Result<()>> + 'static) -> Boxed {
    let mut future: Boxed = Box::pin(future);
    assert!(futures_util::poll!(&mut future).is_pending());
    future
}

#[windlass::workflow]
async fn moved_out_of_a_shield() -> Result<()> {
    let scope = shield(begun(cancellable(wait_as("moved")))).await;
    windlass::log!("{:?}", scope.await);
    Ok(())
}

#[test]
fn a_shield_that_is_over_shields_nothing() {
    let run = cancelled_after_a_minute("moved_out_of_a_shield");
    assert_eq!(told(&run), "moved dropped, Err(cancelled: the run was asked to stop)");
}

#[windlass::workflow]
async fn a_shield_elsewhere() -> Result<()> {
    let kept = Rc::new(RefCell::new(None));
    let inner = kept.clone();
    let scope = cancellable(async move {
        let length = seconds(80);
        *inner.borrow_mut() = Some(
            begun(shield(async move {
                sleep(length).await;
                Ok(())
            }))
            .await,
        );
        wait_as("scope").await;
    });
    let outside = async move {
        sleep(seconds(1)).await;
        kept.take().expect("it was kept").await
    };
    // Each is polled only when it is woken itself.
    let beside = cancellable(wait_as("beside"));
    let mut all: FuturesUnordered<Boxed> = FuturesUnordered::new();
    all.extend([Box::pin(scope) as Boxed, Box::pin(outside), Box::pin(beside)]);
    while let Some(result) = all.next().await {
        windlass::log!("{}", result.is_ok());
    }
    Ok(())
}

#[test]
fn a_scope_is_woken_by_the_end_of_its_shield_wherever_that_is_polled() {
    let mut run = cancelled_after_a_minute("a_shield_elsewhere");
    run.result_json().unwrap();
    assert_eq!(told(&run), "beside dropped, false, true, scope dropped, false");
    assert_eq!(run.elapsed(), seconds(80));
}

#[windlass::workflow]
async fn shield_after_shield() -> Result<()> {
    for number in 0..3 {
        shield(async {
            sleep(seconds(40)).await;
            windlass::log!("shield {number}");
        })
        .await;
    }
    Ok(())
}

#[test]
fn one_shield_right_after_the_other_does_not_hold_a_request_up_for_ever() {
    let mut run = cancelled_after_a_minute("shield_after_shield");
    assert_eq!(run.result_json().unwrap_err().code, "cancelled");
    assert_eq!(run.elapsed(), seconds(80));
    assert_eq!(told(&run), "shield 0, shield 1");
}
