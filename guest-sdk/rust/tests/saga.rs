//! What a saga undoes, when, and what it ends with.

use std::time::Duration;

use serde_json::json;
use windlass::testing::{History, State, Test};
use windlass::{Failure, Result, cancel_requested, saga, sleep, try_join};

#[windlass::step]
async fn book(what: &str) -> Result<String> {
    Ok(format!("{what}-1"))
}

#[windlass::step(retry(max_attempts = 3, initial = "1s", factor = 1.0))]
async fn unbook(booking: &str) -> Result<()> {
    windlass::log!("unbooked {booking}");
    Ok(())
}

#[windlass::workflow]
async fn travel() -> Result<String> {
    saga(async |saga| {
        let mut bookings = Vec::new();
        for what in ["flight", "room", "car"] {
            let booking = book(what).await?;
            saga.compensate(unbook(&booking));
            bookings.push(booking);
        }
        windlass::signal::<()>("paid").await?;
        Ok(bookings.join(" "))
    })
    .await
}

/// The inputs of a step's calls, in order.
fn inputs(history: &History, step: &str) -> Vec<String> {
    history.of(step).into_iter().map(|event| event.input.as_str().expect("a text").to_owned()).collect()
}

#[test]
fn a_saga_that_succeeds_undoes_nothing() {
    let mut run = Test::new().start(travel, ());
    run.signal("paid", ());
    assert_eq!(run.result(), Ok("flight-1 room-1 car-1".to_owned()));
    assert!(run.history().of("unbook").is_empty());
}

#[test]
fn a_saga_that_fails_undoes_in_reverse_order_what_was_done() {
    let mut test = Test::new();
    test.step("book", |what: String| match what.as_str() {
        "car" => Err(Failure::new("no-car", "all are gone").fatal()),
        what => Ok(what.to_owned()),
    });
    let mut run = test.start(travel, ());
    assert_eq!(run.result().unwrap_err().code, "no-car");
    assert_eq!(inputs(&run.history(), "unbook"), ["room", "flight"]);
}

#[test]
fn a_run_that_is_asked_to_stop_undoes_what_was_done_and_is_cancelled() {
    let mut run = Test::new().start(travel, ());
    run.cancel();
    assert_eq!(run.result().unwrap_err().code, "cancelled");
    assert_eq!(run.state(), State::Cancelled);
    assert_eq!(inputs(&run.history(), "unbook"), ["car-1", "room-1", "flight-1"]);
}

#[test]
fn a_compensation_is_retried_as_its_step_declares() {
    let mut test = Test::new();
    let away = || Err(Failure::new("away", "nobody is there"));
    test.step_attempts("unbook", [away(), Ok(()), Ok(()), away(), away(), Ok(())]);
    let mut run = test.start(travel, ());
    run.cancel();
    assert_eq!(run.result().unwrap_err().code, "cancelled");
    assert_eq!(run.elapsed(), Duration::from_secs(3));
}

#[test]
fn compensations_that_fail_are_told_and_the_others_are_run() {
    let mut test = Test::new();
    test.step("unbook", |booking: String| match booking.as_str() {
        "room-1" => Ok(()),
        booking => Err(Failure::new("refused", format!("{booking} is final")).fatal()),
    });
    let mut run = test.start(travel, ());
    run.cancel();
    let failure = run.result().unwrap_err();
    assert_eq!(failure.code, "compensation-failed");
    assert_eq!(
        failure.message,
        "after `cancelled: the run was asked to stop`, 2 of 3 compensations failed: step `unbook` with `refused: car-1 \
         is final`; step `unbook` with `refused: flight-1 is final`"
    );
    let details = failure.details.unwrap();
    assert_eq!(details["failure"]["code"], "cancelled");
    let refused = |number: u32, booking: &str| {
        let failure = json!({"code": "refused", "message": format!("{booking} is final"), "retryable": false});
        json!({"compensation": number, "step": "unbook", "failure": failure})
    };
    assert_eq!(details["compensations"], json!([refused(3, "car-1"), refused(1, "flight-1")]));
    assert_eq!(run.history().of("unbook").len(), 3);
    assert_eq!(run.state(), State::Failed);
}

#[windlass::workflow]
async fn undoes_slowly() -> Result<()> {
    let result: Result<()> = saga(async |saga| {
        saga.compensate(async {
            sleep(Duration::from_secs(10)).await;
            windlass::log!("undone, requested: {}", cancel_requested());
            Ok(())
        });
        Err(Failure::new("wrong", "something went wrong"))
    })
    .await;
    windlass::log!("{}", result.expect_err("it fails"));
    sleep(Duration::from_secs(1000)).await;
    Ok(())
}

#[test]
fn compensations_are_not_interrupted_and_the_request_takes_effect_after_them() {
    let mut test = Test::new();
    test.at(Duration::from_secs(5)).cancel();
    let mut run = test.start(undoes_slowly, ());
    assert_eq!(run.result().unwrap_err().code, "cancelled");
    assert_eq!(run.elapsed(), Duration::from_secs(10));
    let lines: Vec<_> = run.logs().into_iter().map(|line| line.message).collect();
    assert_eq!(lines, ["undone, requested: true", "wrong: something went wrong"]);
}

#[windlass::workflow]
async fn side_by_side() -> Result<()> {
    saga(async |saga| {
        let one = async |what: &'static str| {
            let booking = book(what).await?;
            saga.compensate(unbook(&booking));
            Ok::<_, Failure>(())
        };
        try_join!(one("bed"), one("breakfast"))?;
        Err(Failure::new("changed-my-mind", "it is too expensive"))
    })
    .await
}

#[test]
fn a_saga_may_do_several_things_at_once() {
    let mut run = Test::new().start(side_by_side, ());
    assert_eq!(run.result().unwrap_err().code, "changed-my-mind");
    assert_eq!(inputs(&run.history(), "unbook"), ["breakfast-1", "bed-1"]);
}

#[windlass::workflow]
async fn one_in_another() -> Result<()> {
    saga(async |outer| {
        outer.compensate(unbook("outer"));
        saga(async |inner| {
            inner.compensate(unbook("inner"));
            windlass::signal::<()>("never").await
        })
        .await
    })
    .await
}

#[test]
fn a_saga_in_a_saga_undoes_its_own_part_first() {
    let mut run = Test::new().start(one_in_another, ());
    run.cancel();
    assert_eq!(run.result().unwrap_err().code, "cancelled");
    assert_eq!(inputs(&run.history(), "unbook"), ["inner", "outer"]);
}
