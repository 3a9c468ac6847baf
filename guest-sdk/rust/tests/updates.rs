//! Requests that a workflow answers.

mod panics;
mod seconds;

use windlass::testing::{Kind, Test, replay};
use windlass::{Failure, Result, signal, sleep, update};

use panics::panic_of;
use seconds::seconds;

/// Takes bids until one is high enough.
#[windlass::workflow]
async fn auction(reserve: u64) -> Result<u64> {
    let mut highest = 0;
    while highest < reserve {
        let bid = update::<u64>("bid").await;
        if *bid > highest {
            highest = *bid;
            bid.answer(&format!("you lead with {highest}"))?;
        } else {
            bid.refuse(Failure::new("too-low", format!("somebody bids {highest}")));
        }
    }
    Ok(highest)
}

#[test]
fn an_update_is_answered_at_once_if_the_workflow_waits_for_it() {
    let mut run = Test::new().start(auction, 100);
    assert_eq!(run.update::<String>("bid", 50).result(), Ok("you lead with 50".to_owned()));
    assert_eq!(run.update::<String>("bid", 20).result().unwrap_err().code, "too-low");
    assert_eq!(run.update::<String>("bid", 100).result().unwrap(), "you lead with 100");
    assert_eq!(run.result(), Ok(100));
    let history = run.history();
    let first = &history.events[0];
    assert_eq!((first.kind, &*first.name, first.outcome.clone()), (Kind::Update, "bid", Some(Ok(50.into()))));
    assert_eq!(first.to_string(), "0 2000-01-01T00:00:00.000000Z call 0, the update `bid`: 50");
    assert_eq!(replay(auction, &history), Ok(()));
}

#[test]
fn what_outsiders_send_does_not_disturb_the_workflow() {
    let mut run = Test::new().start(auction, 100);
    assert_eq!(run.update::<String>("bid", "a lot").result().unwrap_err().code, "invalid-payload");
    assert!(run.update::<String>("bid", 100).is_given());
    assert_eq!(run.result(), Ok(100));
}

#[test]
fn updates_wait_until_they_are_asked_for_and_come_in_order() {
    #[windlass::workflow]
    async fn busy_clerk() -> Result<Vec<String>> {
        sleep(seconds(60)).await;
        let mut all = Vec::new();
        for _ in 0..2 {
            let request = update::<String>("request").await;
            all.push(request.clone());
            request.answer(&all.len())?;
        }
        Ok(all)
    }
    let mut run = Test::new().start(busy_clerk, ());
    let first = run.update::<u32>("request", "first");
    let second = run.update::<u32>("request", "second");
    assert!(panic_of(|| first.result()).contains("the workflow has not asked for it"));
    assert_eq!(run.result().unwrap(), ["first", "second"]);
    assert_eq!((first.result(), second.result()), (Ok(1), Ok(2)));
}

#[test]
fn an_update_and_a_signal_of_one_name_are_not_mixed_up() {
    #[windlass::workflow]
    async fn hears_both() -> Result<(u32, u32)> {
        let heard = signal::<u32>("word").await?;
        let asked = update::<u32>("word").await;
        let both = (heard, *asked);
        asked.answer(&())?;
        Ok(both)
    }
    let mut run = Test::new().start(hears_both, ());
    let answer = run.update::<()>("word", 1);
    assert!(!answer.is_given());
    run.signal("word", 2);
    assert_eq!(run.result(), Ok((2, 1)));
    assert_eq!(answer.result(), Ok(()));
}

#[windlass::workflow]
async fn forgets() -> Result<()> {
    let update = update::<()>("question").await;
    sleep(seconds(1)).await;
    drop(update);
    Ok(())
}

#[test]
fn an_update_without_an_answer_says_what_became_of_it() {
    let mut run = Test::new().start(forgets, ());
    let answers = [run.update::<()>("question", ()), run.update("question", ())];
    assert!(panic_of(|| answers[0].result()).contains("the workflow got it as call 0"));
    run.result().unwrap();
    for answer in answers {
        assert!(panic_of(|| answer.result()).contains("was never answered"), "{answer:?}");
    }
    assert!(panic_of(|| run.update::<()>("question", ())).starts_with("run-ended"));
}

#[test]
fn a_run_that_waits_for_an_update_says_so() {
    let mut run = Test::new().start(auction, 100);
    let message = panic_of(|| run.result());
    assert!(message.contains("the update `bid`") && message.contains("run.update(\"bid\""), "{message}");
}
