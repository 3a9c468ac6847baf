//! What a workflow sees in a test is what it would see on a host.

mod panics;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use windlass::testing::{Kind, State, Test};
use windlass::{Failure, Result, join, now, random, select, signal, sleep};

use panics::panic_of;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[windlass::workflow]
async fn one_of_each() -> Result<(u64, u64)> {
    let doubled = double(21).await?;
    sleep(seconds(60)).await;
    let (more, go) = join!(double(1), signal::<u64>("go"));
    Ok((doubled + more?, go?))
}

#[windlass::step]
async fn double(number: u64) -> Result<u64> {
    Ok(number * 2)
}

#[test]
fn calls_are_numbered_in_the_order_made_and_history_has_their_outcomes() {
    let mut run = Test::new().start(one_of_each, ());
    run.advance(seconds(100)).signal("go", 5);
    assert_eq!(run.result(), Ok((44, 5)));
    let history = run.history();
    let lines: Vec<_> = history.events.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "0 2000-01-01T00:00:00.000000Z call 0, the step `double` with 21, attempt 1: 42",
            "1 2000-01-01T00:01:00.000000Z call 1, a sleep of 60000000 µs: null",
            "2 2000-01-01T00:01:00.000000Z call 2, the step `double` with 1, attempt 1: 2",
            "3 2000-01-01T00:01:40.000000Z call 3, the signal `go`: 5",
        ]
    );
    let asked: Vec<_> = history.events.iter().map(|event| (event.call, event.kind)).collect();
    let kinds = [Kind::Step, Kind::Sleep, Kind::Step, Kind::Signal];
    assert_eq!(asked, (0..).map(Some).zip(kinds).collect::<Vec<_>>());
}

#[test]
fn the_same_test_has_the_same_history() {
    let history = || Test::new().start(one_of_each, ()).advance(seconds(60)).signal("go", 5).history();
    assert_eq!(history(), history());
}

#[windlass::workflow]
async fn looks_at_the_clock() -> Result<Vec<SystemTime>> {
    let mut times = vec![now()];
    sleep(seconds(10)).await;
    times.push(now());
    join!(sleep(seconds(5)), sleep(seconds(3)));
    times.push(now());
    signal::<()>("go").await?;
    times.push(now());
    Ok(times)
}

#[test]
fn the_clock_is_that_of_the_event_that_came_last() {
    let mut run = Test::new().start(looks_at_the_clock, ());
    let start = run.now();
    run.advance(seconds(100)).signal("go", ());
    let after: Vec<_> = run.result().unwrap().iter().map(|time| time.duration_since(start).unwrap()).collect();
    assert_eq!(after, [seconds(0), seconds(10), seconds(15), seconds(100)]);
}

#[windlass::workflow]
async fn alarms(lengths: Vec<u64>) -> Result<Vec<u64>> {
    let rung = std::cell::RefCell::new(Vec::new());
    let alarms = lengths.into_iter().map(async |length| {
        sleep(seconds(length)).await;
        rung.borrow_mut().push(length);
    });
    windlass::join_all(alarms).await;
    Ok(rung.into_inner())
}

#[test]
fn timers_come_in_the_order_in_which_they_are_due_and_never_early() {
    let mut run = Test::new().start(alarms, [30, 10, 20]);
    run.advance(Duration::from_micros(9_999_999));
    assert!(run.history().events.is_empty());
    run.advance(Duration::from_micros(1));
    assert_eq!(run.history().events.len(), 1);
    assert_eq!(run.result(), Ok(vec![10, 20, 30]));
    let at_once = Test::new().start(alarms, [7; 3]).history();
    assert!(at_once.events.is_sorted_by_key(|event| event.call));
}

#[windlass::workflow]
async fn collects(count: usize) -> Result<Vec<String>> {
    sleep(seconds(10)).await;
    let mut items = Vec::new();
    while items.len() < count {
        items.push(select! {
            a = signal::<String>("a") => a?,
            b = signal::<String>("b") => b?,
        });
    }
    Ok(items)
}

#[test]
fn signals_wait_until_they_are_asked_for_and_come_in_order() {
    let mut test = Test::new();
    test.at(seconds(1)).signal("a", "first").at(seconds(2)).signal("a", "second").at(seconds(3)).signal("b", "third");
    let mut run = test.start(collects, 4);
    run.advance(seconds(20)).signal("b", "fourth");
    assert_eq!(run.result(), Ok(["first", "second", "third", "fourth"].map(str::to_owned).to_vec()));
}

#[test]
fn a_signal_that_nobody_waits_for_any_more_stays_for_the_next() {
    #[windlass::workflow]
    async fn impatient() -> Result<String> {
        assert_eq!(signal::<String>("word").timeout(seconds(5)).await?, None);
        sleep(seconds(5)).await;
        signal("word").await
    }
    let mut test = Test::new();
    test.at(seconds(7)).signal("word", "late");
    assert_eq!(test.start(impatient, ()).result(), Ok("late".to_owned()));
}

#[test]
fn time_does_not_pass_for_a_timer_that_was_cancelled() {
    #[windlass::workflow]
    async fn quick() -> Result<()> {
        signal::<()>("go").timeout(seconds(1_000_000)).await?;
        signal("more").await
    }
    let mut test = Test::new();
    test.at(seconds(1)).signal("go", ());
    let mut run = test.start(quick, ());
    run.advance(seconds(1));
    assert!(panic_of(|| run.result()).contains("call 2, the signal `more`"));
    assert_eq!(run.elapsed(), seconds(1));
}

#[test]
fn a_run_that_nothing_can_wake_says_so() {
    #[windlass::workflow]
    async fn hangs_for_ever() -> Result<()> {
        std::future::pending().await
    }
    assert!(panic_of(|| Test::new().start(hangs_for_ever, ()).result()).starts_with("stalled: "));
    let message = panic_of(|| Test::new().start(collects, 1).result());
    assert!(message.contains("call 1, the signal `a`; call 2, the signal `b`"), "{message}");
}

#[test]
fn a_run_that_goes_on_for_ever_is_tested_with_advance() {
    #[windlass::workflow]
    async fn heart() -> Result<()> {
        loop {
            sleep(seconds(1)).await;
        }
    }
    let mut run = Test::new().start(heart, ());
    run.advance(seconds(60));
    assert_eq!(run.history().events.len(), 60);
    assert!(panic_of(|| run.result()).contains("no end"));
}

#[test]
fn a_loop_that_never_sleeps_is_noticed() {
    #[windlass::workflow]
    async fn busy() -> Result<()> {
        loop {
            double(1).await?;
        }
    }
    assert!(panic_of(|| Test::new().start(busy, ())).contains("in no time"));
}

#[windlass::workflow]
async fn many_arguments(a: u32, b: String, c: bool) -> Result<String> {
    windlass::publish("b", &b);
    Ok(format!("{a} {b} {c} {}", windlass::run::current().workflow))
}

#[test]
fn a_workflow_is_started_by_function_or_name_with_all_its_arguments() {
    let test = Test::new();
    let mut run = test.start(many_arguments, (1, "two", true));
    assert_eq!(run.result().unwrap(), "1 two true many_arguments");
    assert_eq!(run.published::<String>("b").unwrap(), "two");
    assert_eq!(run.published::<String>("c"), None);
    assert_eq!(test.start("many_arguments", (1, "two", true)).result().unwrap(), "1 two true many_arguments");
    assert!(panic_of(|| test.start("nobody", ())).contains("no workflow is called `nobody`"));
    assert_eq!(test.start(many_arguments, 1).result().unwrap_err().code, "invalid-payload");
}

#[test]
fn random_numbers_follow_from_the_seed() {
    #[windlass::workflow]
    async fn throws() -> Result<Vec<u64>> {
        Ok(vec![random(), random()])
    }
    let thrown = |seed| Test::new().seed(seed).start(throws, ()).result().unwrap();
    assert_eq!(thrown(1), thrown(1));
    assert_ne!(thrown(1), thrown(2));
    assert_ne!(thrown(1)[0], thrown(1)[1]);
}

#[test]
fn what_traps_on_a_host_panics_here() {
    #[windlass::workflow]
    async fn breaks_a_rule(which: u32) -> Result<()> {
        match which {
            0 => drop(futures_util::poll!(signal::<()>("no name"))),
            1 => sleep(Duration::MAX).await,
            2 => drop(windlass::random_bytes(70_000)),
            3 => (0..65).for_each(|number| windlass::publish(&format!("key-{number}"), &number)),
            4 => (0..17).for_each(|number| windlass::run::tag(&format!("key-{number}"), number)),
            5 => windlass::run::tag("a key", "value"),
            6 => windlass::run::tag("key", "one,two"),
            7 => windlass::run::tag("key", "ü".repeat(129)),
            _ => return Err(Failure::new("No Code", "")),
        }
        Ok(())
    }
    let codes = [
        "invalid-name",
        "duration-too-long",
        "random-too-long",
        "too-many-keys",
        "too-many-tags",
        "invalid-tag",
        "invalid-tag",
        "invalid-tag",
        "invalid-name",
    ];
    for (which, code) in codes.into_iter().enumerate() {
        let message = panic_of(|| Test::new().start(breaks_a_rule, which));
        assert!(message.starts_with(code), "{message}");
    }
}

#[test]
fn a_run_that_ended_accepts_nothing() {
    let mut run = Test::new().start(many_arguments, (1, "two", true));
    assert_eq!(run.state(), State::Completed);
    assert!(panic_of(|| run.signal("a", 1)).starts_with("run-ended"));
    assert!(panic_of(|| run.cancel()).starts_with("run-ended"));
    let ended_at = run.elapsed();
    run.advance(seconds(5));
    assert_eq!(run.elapsed(), ended_at);
}

#[test]
fn runs_of_one_test_take_turns_without_disturbing_each_other() {
    let test = Test::new();
    let (mut one, mut other) = (test.start(collects, 1), test.start(collects, 1));
    one.advance(seconds(10));
    other.advance(seconds(20));
    other.signal("a", "for the other");
    one.signal("b", "for the one");
    assert_eq!(
        (one.result().unwrap(), other.result().unwrap()),
        (vec!["for the one".into()], vec!["for the other".into()])
    );
}

#[test]
fn tests_on_several_threads_do_not_disturb_each_other() {
    let threads = (0..8).map(|number| {
        std::thread::spawn(move || {
            let mut run = Test::new().start(one_of_each, ());
            run.advance(seconds(60)).signal("go", number);
            run.result()
        })
    });
    let threads: Vec<_> = threads.collect();
    for (number, thread) in (0..).zip(threads) {
        assert_eq!(thread.join().unwrap(), Ok((44, number)));
    }
}

#[test]
fn a_run_that_is_dropped_runs_its_destructors() {
    let dropped = Rc::new(Cell::new(false));
    thread_local! {
        static TOLD: Cell<Option<Rc<Cell<bool>>>> = const { Cell::new(None) };
    }
    struct Tells(Rc<Cell<bool>>);
    impl Drop for Tells {
        fn drop(&mut self) {
            windlass::log!("the world is still there");
            self.0.set(true);
        }
    }
    #[windlass::workflow]
    async fn holds() -> Result<()> {
        let _tells = Tells(TOLD.take().unwrap());
        sleep(seconds(1)).await;
        Ok(())
    }
    TOLD.set(Some(dropped.clone()));
    drop(Test::new().start(holds, ()));
    assert!(dropped.get());
}

#[test]
fn without_a_test_the_sdk_says_where_it_works() {
    assert!(panic_of(now).contains("windlass::testing::Test"));
    assert!(panic_of(|| windlass::log!("to nobody")).contains("windlass::testing::Test"));
}
