//! The cursor against guests that are made up at random.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::model::{CancelReason, Name, Origin, Payload, StepOptions};

/// A deterministic guest: what it asks depends on what it was told, and on nothing else.
struct Guest {
    /// How many calls it makes at the start, and after each event.
    plan: VecDeque<u8>,
    asked: u32,
    /// The call that this guest makes differently from others, if any.
    mutation: Option<(u32, Mutation)>,
}

#[derive(Clone, Copy, Debug)]
enum Mutation {
    Name,
    Input,
    Kind,
}

impl Guest {
    fn new(plan: &[u8]) -> Self {
        Self { plan: plan.iter().copied().collect(), asked: 0, mutation: None }
    }

    fn turn(&mut self, replay: &mut Replay) {
        for _ in 0..self.plan.pop_front().unwrap_or(0) {
            let id = replay.ask(self.ask()).unwrap();
            assert_eq!(id, self.asked);
            self.asked += 1;
        }
    }

    fn ask(&self) -> Ask {
        let number = self.asked;
        let step = |name: &str, input: u32| Ask::Step {
            name: Name::new(name).unwrap(),
            input: Payload::of(&input),
            options: StepOptions::default(),
        };
        match self.mutation.filter(|(call, _)| *call == number) {
            Some((_, Mutation::Name)) => step("other", number),
            Some((_, Mutation::Input)) => step("step", number + 1_000),
            Some((_, Mutation::Kind)) => Ask::Receive { name: Name::new("step").unwrap() },
            None => step("step", number),
        }
    }
}

/// Live: the world answers open calls in an order that chance decides.
fn live(plan: &[u8], choices: &[usize]) -> Vec<Event> {
    let (mut guest, mut replay) = (Guest::new(plan), Replay::new(Origin::new(Timestamp::from_micros(5)), usize::MAX));
    let mut history = Vec::new();
    guest.turn(&mut replay);
    for choice in choices {
        let open: Vec<_> = replay.open_from(0).map(|call| call.id).collect();
        let Some(&call) = open.get(choice % open.len().max(1)) else { break };
        let delivery = Delivery::Completed { call, outcome: Outcome::Ok(Payload::null()), attempt: 1, inbox: None };
        let event = replay.event(delivery, Timestamp::from_micros(*choice as i64)).unwrap();
        replay.deliver(&event).unwrap();
        history.push(event);
        guest.turn(&mut replay);
    }
    history
}

/// Again, from history: how far it got, or where it diverged.
fn again(mut guest: Guest, history: &[Event]) -> Result<Replay, Box<Divergence>> {
    let mut replay = Replay::new(Origin::new(Timestamp::from_micros(5)), usize::MAX);
    guest.turn(&mut replay);
    for event in history {
        replay.deliver(event)?;
        guest.turn(&mut replay);
    }
    Ok(replay)
}

fn plan() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    (prop::collection::vec(0u8..4, 1..20), prop::collection::vec(any::<usize>(), 0..40))
}

proptest! {
    #[test]
    fn the_same_guest_replays_its_history_to_the_same_place((plan, choices) in plan()) {
        let history = live(&plan, &choices);
        let replay = again(Guest::new(&plan), &history).unwrap();
        prop_assert_eq!(replay.next_seq() as usize, history.len());
        let answered: Vec<_> = history.iter().map(|event| answered(event).id).collect();
        let open: Vec<_> = replay.open_from(0).map(|call| call.id).collect();
        let all: Vec<_> = (0..replay.next_call()).collect();
        let mut both = [answered, open].concat();
        both.sort_unstable();
        prop_assert_eq!(both, all, "every call has an outcome or is open, and none has two");
    }

    #[test]
    fn time_never_goes_back((plan, choices) in plan()) {
        let history = live(&plan, &choices);
        prop_assert!(history.is_sorted_by_key(|event| event.at));
    }

    #[test]
    fn a_call_that_differs_is_caught_when_its_outcome_comes(
        (plan, choices) in plan(), call in 0u32..40,
        mutation in prop_oneof![Just(Mutation::Name), Just(Mutation::Input), Just(Mutation::Kind)],
    ) {
        let history = live(&plan, &choices);
        let guest = Guest { mutation: Some((call, mutation)), ..Guest::new(&plan) };
        let outcome = history.iter().find(|event| answered(event).id == call);
        match (again(guest, &history), outcome) {
            (Err(divergence), Some(event)) => {
                prop_assert_eq!(divergence.seq, event.seq);
                prop_assert_eq!(divergence.expected.unwrap().call, call);
                prop_assert_eq!(divergence.actual.unwrap().call, call);
            }
            (Ok(_), None) => {}
            (Ok(_), Some(_)) => prop_assert!(false, "the difference went unnoticed"),
            (Err(divergence), None) => prop_assert!(false, "a false alarm: {divergence}"),
        }
    }

    #[test]
    fn a_guest_that_asks_less_is_caught((plan, choices) in plan()) {
        let history = live(&plan, &choices);
        let last = history.iter().map(|event| answered(event).id).max();
        prop_assume!(last.is_some());
        let mut silent = Guest::new(&[]);
        silent.plan.clear();
        let divergence = again(silent, &history).unwrap_err();
        prop_assert_eq!(divergence.seq, 0);
        prop_assert!(divergence.actual.is_none());
    }
}

fn answered(event: &Event) -> &Call {
    match &event.kind {
        EventKind::Completed { call, .. } => call,
        EventKind::CancelRequested { .. } => unreachable!("nobody asked to stop"),
    }
}

fn replay_with_a_sleep() -> Replay {
    let mut replay = Replay::new(Origin::new(Timestamp::from_micros(100)), 2);
    replay.ask(Ask::Sleep { duration: std::time::Duration::from_micros(50) }).unwrap();
    replay
}

fn completed(call: CallId) -> Delivery {
    Delivery::Completed { call, outcome: Outcome::Ok(Payload::null()), attempt: 0, inbox: None }
}

#[test]
fn a_sleep_ends_no_earlier_than_it_is_due_even_if_the_clock_says_so() {
    let event = replay_with_a_sleep().event(completed(0), Timestamp::from_micros(120)).unwrap();
    assert_eq!(event.at, Timestamp::from_micros(150));
}

#[test]
fn a_call_that_was_cancelled_has_no_outcome() {
    let mut replay = replay_with_a_sleep();
    assert!(replay.cancel(0).is_some());
    assert!(replay.cancel(0).is_none());
    assert_eq!(replay.event(completed(0), Timestamp::from_micros(500)), None);
}

#[test]
fn a_run_is_asked_to_stop_once() {
    let mut replay = replay_with_a_sleep();
    let event = replay
        .event(Delivery::CancelRequested { reason: CancelReason::Requested, inbox: None }, Timestamp::default())
        .unwrap();
    replay.deliver(&event).unwrap();
    assert_eq!(replay.cancel_requested(), Some(CancelReason::Requested));
    assert_eq!(
        replay.event(Delivery::CancelRequested { reason: CancelReason::Requested, inbox: None }, Timestamp::default()),
        None
    );
}

#[test]
fn the_calls_that_are_open_are_limited_and_a_number_is_not_used_up_by_a_refusal() {
    let mut replay = replay_with_a_sleep();
    let receive = || Ask::Receive { name: Name::new("go").unwrap() };
    assert_eq!(replay.ask(receive()), Ok(1));
    assert_eq!(replay.ask(receive()), Err(AskError::TooManyOpen(2)));
    replay.cancel(0);
    assert_eq!(replay.ask(receive()), Ok(2));
}
