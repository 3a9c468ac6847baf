//! Runs that begin again with an empty history, and go on for ever.

mod panics;
mod seconds;

use windlass::testing::{History, State, Test, replay};
use windlass::{
    Result, Saga, cancellable, child, continue_as_new, join, run, saga, shield, signal, sleep, update, uuid,
};

use panics::panic_of;
use seconds::seconds;

/// Looks every minute; begins again after two looks.
#[windlass::workflow]
async fn watch(mut seen: u32) -> Result<u32> {
    windlass::log!("generation {}, {} events", run::current().generation, run::history_length());
    while run::history_length() < 4 {
        sleep(seconds(60)).await;
        seen = look(seen).await?;
    }
    windlass::publish("seen", &seen);
    run::tag(&format!("generation-{}", run::current().generation), seen);
    run::tag("seen", seen);
    if seen < 6 { continue_as_new(&seen).await } else { Ok(seen) }
}

#[windlass::step]
async fn look(seen: u32) -> Result<u32> {
    Ok(seen + 1)
}

#[test]
fn a_run_begins_again_and_its_numbers_go_on() {
    let mut run = Test::new().start(watch, 0);
    assert_eq!(run.result(), Ok(6));
    assert_eq!((run.generation(), run.elapsed(), run.published("seen")), (2, seconds(360), Some(6)));
    assert_eq!((run.tag("generation-0").as_deref(), run.tag("seen").as_deref()), (Some("2"), Some("6")));
    let history = run.history();
    let numbers: Vec<_> = history.events.iter().map(|event| (event.seq, event.call)).collect();
    assert_eq!(numbers, (0..12).map(|number| (number, Some(number))).collect::<Vec<_>>());
    let lines: Vec<_> = run.logs().into_iter().map(|line| line.message).collect();
    assert_eq!(lines, ["generation 0, 0 events", "generation 1, 0 events", "generation 2, 0 events"]);
}

#[windlass::workflow]
async fn watch_differently(seen: u32) -> Result<u32> {
    if seen < 4 {
        sleep(seconds(60)).await;
        let seen = look(seen).await?;
        sleep(seconds(60)).await;
        return continue_as_new(&look(seen).await?).await;
    }
    signal("stop").await
}

#[test]
fn all_generations_are_replayed() {
    let mut run = Test::new().start(watch, 0);
    run.result().unwrap();
    assert_eq!(replay(watch, &run.history()), Ok(()));
    let divergence = replay(watch_differently, &run.history()).unwrap_err();
    assert_eq!((divergence.seq, divergence.actual.unwrap().name), (8, "stop".to_owned()));
}

#[test]
fn what_a_host_tells_of_a_run_that_began_again_is_refused() {
    let history: History = r#"{"events": []}"#.parse().unwrap();
    let run = r#"{"run_id": "01a1fd7d-2337-7596-ab7d-29fd35d2c62a", "workflow": "watch", "version": 1, "input": 4,
        "started_at": "2026-11-21T09:43:19Z", "generation": 2}"#;
    let history = history.with_run(run).unwrap();
    assert!(panic_of(|| replay(watch, &history)).contains("has continued as new 2 times"));
}

/// Is asked one thing in each generation.
#[windlass::workflow]
async fn relay(number: u32) -> Result<u32> {
    if number == 2 {
        return Ok(number);
    }
    let question = update::<u32>("question").await;
    let answer = *question + number;
    question.answer(&answer)?;
    let word = signal::<u32>("word");
    let (next, never) = join!(async { continue_as_new::<u32>(&(number + 1)).await }, word);
    never.map(|word| word + next)
}

#[test]
fn what_waits_in_the_inbox_stays_and_what_is_open_is_cancelled() {
    let mut run = Test::new().start(relay, 0);
    assert_eq!(run.update::<u32>("question", 10).result(), Ok(10));
    assert_eq!((run.generation(), run.waits_for().len(), run.waits_for()[0].call), (1, 1, 2));
    run.signal("word", 1);
    assert_eq!(run.update::<u32>("question", 10).result(), Ok(11));
    assert_eq!((run.result(), run.generation()), (Ok(2), 2));
    assert!(run.history().of("word").is_empty());
}

#[test]
fn a_child_is_asked_to_stop_when_its_parent_begins_again() {
    #[windlass::workflow]
    async fn sleeps_long() -> Result<()> {
        sleep(seconds(100)).await;
        Ok(())
    }
    #[windlass::workflow]
    async fn has_a_child(again: bool) -> Result<()> {
        let (_, ()) = join!(child::<()>("sleeps_long", &()), async {
            sleep(seconds(1)).await;
            if again {
                continue_as_new(&false).await
            }
        });
        Ok(())
    }
    let mut run = Test::new().start(has_a_child, true);
    run.advance(seconds(2));
    assert_eq!(
        run.children().iter().map(windlass::testing::Run::state).collect::<Vec<_>>(),
        [State::Cancelled, State::Waiting]
    );
    assert_eq!(run.result(), Ok(()));
    assert_ne!(run.children()[0].run_id(), run.children()[1].run_id());
}

#[test]
fn an_update_that_is_not_answered_before_its_run_begins_again_is_lost() {
    #[windlass::workflow]
    async fn loses_it(again: bool) -> Result<()> {
        let _question = update::<()>("question").await;
        if again { continue_as_new(&false).await } else { Ok(()) }
    }
    let mut run = Test::new().start(loses_it, true);
    let answer = run.update::<()>("question", ());
    assert!(panic_of(|| answer.result()).contains("began again"));
}

#[test]
fn a_run_that_begins_again_and_never_waits_is_noticed() {
    #[windlass::workflow]
    async fn spins(turns: u64) -> Result<()> {
        continue_as_new(&(turns + 1)).await
    }
    assert!(panic_of(|| Test::new().start(spins, 0)).contains("never sleeps"));
}

#[test]
fn a_request_to_stop_comes_once_in_all_generations() {
    #[windlass::workflow]
    async fn stubborn(turns: u32) -> Result<u32> {
        let interrupted = cancellable(sleep(seconds(10))).await.is_err();
        windlass::log!("{turns} {interrupted} {:?}", windlass::cancel_reason());
        if turns < 3 { continue_as_new(&(turns + 1)).await } else { Ok(turns) }
    }
    let mut run = Test::new().timeout(seconds(25)).start(stubborn, 0);
    run.advance(seconds(5)).cancel();
    assert_eq!((run.result(), run.elapsed()), (Ok(3), seconds(35)));
    let lines: Vec<_> = run.logs().into_iter().map(|line| line.message).collect();
    assert_eq!(lines, ["0 true Some(CancelReason::Requested)", "1 false None", "2 false None", "3 false None"]);
    assert!(run.history().of("deadline").is_empty());
}

#[test]
fn a_request_to_stop_is_not_lost_when_a_run_is_about_to_begin_again() {
    #[windlass::workflow]
    async fn shielded(inner: bool) -> Result<u32> {
        let turn = async {
            shield(sleep(seconds(10))).await;
            continue_as_new::<u32>(&inner).await
        };
        if !inner {
            return Ok(turn.await);
        }
        cancellable(turn).await.or(Ok(7))
    }
    let result_of = |inner: bool| {
        let mut run = Test::new().start(shielded, inner);
        run.advance(seconds(15)).cancel();
        assert_eq!((run.state(), run.generation()), (State::Waiting, 1));
        (run.result(), run.generation(), run.elapsed())
    };
    let (result, generation, elapsed) = result_of(false);
    assert_eq!((&*result.unwrap_err().code, generation, elapsed), ("cancelled", 1, seconds(20)));
    assert_eq!(result_of(true), (Ok(7), 1, seconds(20)));
}

#[windlass::workflow]
async fn draws(again: bool) -> Result<Vec<String>> {
    let first = uuid();
    windlass::log!("{first}");
    sleep(seconds(1)).await;
    sleep(std::time::Duration::from_micros(windlass::random() % 1_000_000)).await;
    if again { continue_as_new(&false).await } else { Ok(vec![first, uuid(), uuid()]) }
}

#[test]
fn a_uuid_is_of_version_7_and_ordered_by_time() {
    let mut run = Test::new().start(draws, false);
    let uuids = run.result().unwrap();
    for uuid in &uuids {
        let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
        assert_eq!(&uuid[14..15], "7", "{uuid}");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        assert!(uuid.bytes().all(|c| c == b'-' || matches!(c, b'0'..=b'9' | b'a'..=b'f')), "{uuid}");
    }
    let millis = u64::from_str_radix(&uuids[0].replace('-', "")[..12], 16).unwrap();
    assert_eq!(millis, 946_684_800_000);
    assert!(uuids[0] < uuids[1] && uuids[1][..13] == uuids[2][..13]);
}

#[test]
fn uuids_are_unique_and_follow_from_the_seed_and_the_generation() {
    #[windlass::workflow]
    async fn draws_many() -> Result<Vec<String>> {
        Ok((0..10_000).map(|_| uuid()).collect())
    }
    let drawn = |seed| Test::new().seed(seed).start(draws_many, ()).result().unwrap();
    let (one, other) = (drawn(1), drawn(2));
    assert_eq!(one, drawn(1));
    let all: std::collections::BTreeSet<_> = one.iter().chain(&other).collect();
    assert_eq!(all.len(), 20_000);
    let mut run = Test::new().start(draws, true);
    run.result().unwrap();
    let logged =
        |run: &windlass::testing::Run<_>| -> Vec<_> { run.logs().into_iter().map(|line| line.message).collect() };
    let first = logged(&run);
    assert_ne!(first[0][14..], first[1][14..], "another generation draws other numbers");
    let mut again = Test::new().start(draws, true);
    again.result().unwrap();
    assert_eq!(first, logged(&again));
}

#[test]
fn chance_is_the_same_in_a_replay_of_all_generations() {
    let mut run = Test::new().seed(7).start(draws, true);
    run.result().unwrap();
    assert_eq!(replay(draws, &run.history()), Ok(()));
}

/// Books day after day; a day that cannot be finished is undone.
#[windlass::workflow]
async fn tour(day: u32) -> Result<u32> {
    saga(async |saga: &Saga| {
        let ticket = buy(day).await?;
        saga.compensate(give_back(ticket));
        child::<()>("concert", &day).await
    })
    .await?;
    if day == 3 { Ok(day) } else { continue_as_new(&(day + 1)).await }
}

#[windlass::workflow]
async fn concert(day: u32) -> Result<()> {
    sleep(seconds(3600)).await;
    windlass::log!("played on day {day}");
    Ok(())
}

#[windlass::step]
async fn buy(day: u32) -> Result<u32> {
    Ok(day)
}

#[windlass::step]
async fn give_back(ticket: u32) -> Result<()> {
    windlass::log!("{ticket} given back");
    Ok(())
}

#[test]
fn a_saga_whose_child_runs_when_it_is_cancelled_compensates_and_asks_the_child_to_stop() {
    let mut run = Test::new().start(tour, 1);
    run.advance(seconds(5000)).cancel();
    assert_eq!(run.result().unwrap_err().code, "cancelled");
    assert_eq!((run.state(), run.generation(), run.elapsed()), (State::Cancelled, 1, seconds(5000)));
    let concerts = run.children();
    assert_eq!(
        concerts.iter().map(windlass::testing::Run::state).collect::<Vec<_>>(),
        [State::Completed, State::Cancelled]
    );
    assert_eq!(concerts[1].history().events[0].name, "parent-closed");
    let history = run.history();
    assert_eq!(history.of("give_back").iter().map(|event| event.input.clone()).collect::<Vec<_>>(), [2]);
    assert_eq!(replay(tour, &history), Ok(()));
}

#[test]
fn a_saga_in_each_generation_ends_well_if_nobody_disturbs_it() {
    let mut run = Test::new().start(tour, 1);
    assert_eq!(run.result(), Ok(3));
    assert!(run.history().of("give_back").is_empty());
    assert_eq!((run.generation(), run.children().len()), (2, 3));
}
