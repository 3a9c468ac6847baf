//! Whether a workflow still does what it did.

use std::fmt;

use serde::Serialize;

use super::agenda::Agenda;
use super::runner::Runner;
use super::scripts::SharedScripts;
use super::{Asked, Event, History, Workflow, reason, rfc3339};
use crate::CancelReason;

/// Run a workflow with the events of a recorded history: it must make the calls that those answer. This is what a host
/// does with every run that it takes up again.
///
/// The history is one of the kit's own, or comes from a host: see [`History`]. Nothing but the workflow runs. Inputs are
/// compared as JSON documents. What continued as new is replayed from its beginning, through all generations.
///
/// # Panics
///
/// If the history does not say what the run was started with (see [`History::with_run`]), if it comes from a host and the run
/// has continued as new, for the host only tells the last input, or if the workflow panics.
///
/// ```
/// use std::time::Duration;
/// use windlass::testing::{Test, replay};
///
/// #[windlass::workflow]
/// async fn yesterday() -> windlass::Result<()> {
///     windlass::sleep(Duration::from_secs(1)).await;
///     windlass::signal("go").await
/// }
///
/// #[windlass::workflow]
/// async fn today() -> windlass::Result<()> {
///     windlass::sleep(Duration::from_secs(2)).await;
///     windlass::signal("go").await
/// }
///
/// let mut run = Test::new().start(yesterday, ());
/// run.advance(Duration::from_secs(1));
/// assert_eq!(replay(yesterday, &run.history()), Ok(()));
///
/// let divergence = replay(today, &run.history()).unwrap_err();
/// assert_eq!((divergence.seq, divergence.actual.unwrap().input), (0, 2_000_000.into()));
/// ```
#[track_caller]
pub fn replay<M>(workflow: impl Workflow<M>, history: &History) -> Result<(), Box<Divergence>> {
    let workflow = workflow.find();
    let Some(run) = &history.run else {
        panic!("the history does not say what the run was started with: add it with `History::with_run`");
    };
    let generation = run.generation;
    assert!(
        generation == 0,
        "the run has continued as new {generation} times: a host tells its last input only, and not where that stands in the \
         history, so this cannot be replayed here"
    );
    let mut started = run.clone();
    workflow.name.clone_into(&mut started.workflow);
    let agenda = Agenda::new(rfc3339::instant(started.started_at));
    let mut runner = Runner::new(workflow, started, (0, agenda), SharedScripts::default());
    runner.start(run.input.to_string().into_bytes());
    for (number, event) in history.events.iter().enumerate() {
        assert!(event.seq as usize == number, "event {number} of the history is missing: here is number {}", event.seq);
        deliver(&mut runner, event)?;
    }
    Ok(())
}

fn deliver(runner: &mut Runner, event: &Event) -> Result<(), Box<Divergence>> {
    let expected = event.asked();
    let ended = runner.ended.is_some();
    let world = runner.world.borrow();
    let actual = event.call.and_then(|call| world.open.get(&call).map(|open| open.ask.asked(call)));
    if ended || actual != expected {
        return Err(Box::new(Divergence { seq: event.seq, expected, actual, ended }));
    }
    world.agenda.borrow_mut().clock = rfc3339::instant(event.at);
    drop(world);
    match (event.call, &event.outcome) {
        (Some(call), Some(outcome)) => {
            let outcome = outcome.as_ref().map(|value| value.to_string().into_bytes()).map_err(Clone::clone);
            runner.complete(call, outcome, event.attempt);
        }
        _ => runner.cancel(reason::named(&event.name).unwrap_or(CancelReason::Requested)),
    }
    Ok(())
}

/// The first event that could not be delivered again: the workflow did not ask what that answers.
#[derive(Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Divergence {
    /// The number of the event.
    pub seq: u32,
    /// The call that it answers; none for an event that answers no call.
    pub expected: Option<Asked>,
    /// The call of the same number that the workflow has open this time, if there is one.
    pub actual: Option<Asked>,
    /// Whether the workflow had ended by then.
    pub ended: bool,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} of the history ", self.seq)?;
        match &self.expected {
            Some(expected) => write!(f, "answers {expected}; ")?,
            None => f.write_str("is a request to stop; ")?,
        }
        match &self.actual {
            _ if self.ended => f.write_str("this time the workflow had ended by then"),
            Some(actual) => write!(f, "this time that is {actual}"),
            None => f.write_str("this time the workflow does not wait for that call"),
        }
    }
}

impl fmt::Debug for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Divergence {}
