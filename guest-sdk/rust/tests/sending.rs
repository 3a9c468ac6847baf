//! Signals that runs send to runs.

mod panics;
mod seconds;

use std::cell::RefCell;
use std::rc::Rc;

use serde_json::json;
use windlass::testing::{Kind, Test, replay};
use windlass::{Failure, Result, child, send_signal, signal};

use panics::panic_of;
use seconds::seconds;

#[windlass::workflow]
async fn ping() -> Result<u32> {
    let mut pong = child::<u32>("pong", &());
    let id = pong.run_id()?;
    let mut ball = 0;
    for _ in 0..3 {
        send_signal(&id, "ball", &(ball + 1)).await?;
        ball = signal::<u32>("ball").await?;
    }
    Ok(ball + pong.await?)
}

#[windlass::workflow]
async fn pong() -> Result<u32> {
    let parent = windlass::run::current().parent.expect("it is a child");
    for _ in 0..3 {
        let ball = signal::<u32>("ball").await?;
        send_signal(&parent, "ball", &(ball + 1)).await?;
    }
    Ok(100)
}

#[test]
fn parent_and_child_send_each_other_signals() {
    let mut run = Test::new().start(ping, ());
    assert_eq!(run.result(), Ok(106));
    let history = run.history();
    let sent = &history.events[0];
    assert_eq!((sent.kind, &*sent.name, sent.call), (Kind::Send, "ball", Some(1)));
    assert_eq!(sent.input, json!({"run_id": run.child(pong).run_id(), "payload": 1}));
    assert_eq!(replay(ping, &history), Ok(()));
    assert_eq!(replay(pong, &run.child(pong).history()), Ok(()));
    let json = serde_json::to_string(&history).unwrap();
    assert_eq!(json.parse::<windlass::testing::History>().unwrap(), history);
}

#[windlass::workflow]
async fn tells(run_id: String) -> Result<()> {
    send_signal(run_id, "news", &"it rains").await
}

const STRANGER: &str = "01A1FD79-4996-73CF-9A58-5C763CC70966";

#[test]
fn a_run_that_nobody_knows_gets_no_signal() {
    assert_eq!(Test::new().start(tells, STRANGER).result().unwrap_err().code, "no-such-run");
    assert!(panic_of(|| Test::new().start(tells, "run 7")).starts_with("invalid-run-id: `run 7`"));
}

#[test]
fn a_run_of_somebody_else_gets_what_is_sent_and_may_refuse_it() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let mut test = Test::new();
    let by_test = told.clone();
    test.other_run(STRANGER, move |name, payload| {
        by_test.borrow_mut().push((name.to_owned(), payload));
        if by_test.borrow().len() > 1 { Err(Failure::new("run-ended", "it has ended").fatal()) } else { Ok(()) }
    });
    assert_eq!(test.start(tells, STRANGER).result(), Ok(()));
    assert_eq!(test.start(tells, STRANGER).result().unwrap_err().code, "run-ended");
    assert_eq!(*told.borrow(), vec![("news".to_owned(), json!("it rains")); 2]);
}

#[windlass::workflow]
async fn talks_to_itself() -> Result<String> {
    let own = windlass::run::current().run_id;
    send_signal(&own, "thought", &"hm").await?;
    signal("thought").await
}

#[test]
fn a_run_may_send_a_signal_to_itself() {
    assert_eq!(Test::new().start(talks_to_itself, ()).result(), Ok("hm".to_owned()));
}

#[windlass::workflow]
async fn short() -> Result<()> {
    Ok(())
}

#[windlass::workflow]
async fn comes_too_late(workflow: String) -> Result<()> {
    let mut other = child::<()>(workflow, &());
    let id = other.run_id()?;
    send_signal(&id, "in-time", &()).await?;
    other.await?;
    send_signal(&id, "too-late", &()).await
}

#[test]
fn a_run_that_has_ended_gets_no_signal() {
    #[windlass::workflow]
    async fn takes_one() -> Result<()> {
        signal("in-time").await
    }
    assert_eq!(Test::new().start(comes_too_late, "takes_one").result().unwrap_err().code, "run-ended");
    let mut run = Test::new().start(comes_too_late, "short");
    assert_eq!(run.result().unwrap_err().code, "run-ended");
    assert!(run.history().of("too-late").is_empty(), "it had ended before the first");
}

#[test]
fn a_child_that_is_a_script_takes_signals_while_it_takes_its_time() {
    let mut test = Test::new();
    test.child("short", |()| Ok(())).takes(seconds(9));
    let mut run = test.start(comes_too_late, "short");
    assert_eq!(run.result().unwrap_err().code, "run-ended");
    assert_eq!(run.history().of("in-time")[0].outcome, Some(Ok(json!(null))));
    assert_eq!(run.history().of("too-late").len(), 1);
}

#[test]
fn an_inbox_that_is_full_takes_no_more() {
    #[windlass::workflow]
    async fn floods() -> Result<u32> {
        let own = windlass::run::current().run_id;
        let mut sent = 0;
        loop {
            match send_signal(&own, "drop", &sent).await {
                Ok(()) => sent += 1,
                Err(failure) => return if failure.code == "inbox-full" { Ok(sent) } else { Err(failure) },
            }
        }
    }
    assert_eq!(Test::new().start(floods, ()).result(), Ok(10_000));
}
