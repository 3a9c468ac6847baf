//! The imports of the world, as a test gives them: each is here once. See `crate::host`.

use super::ask::Ask;
use super::world::with;
use super::{limits, run_id, world};

pub(crate) mod call {
    use super::*;

    pub(crate) fn cancel(call: u32) {
        // In a destructor, which may run when the run is gone.
        world::current(|world| world.cancel(call));
    }
}

pub(crate) mod child {
    use super::*;
    use crate::bindings::windlass::workflow::child::Options;

    pub(crate) fn start(workflow: &str, input: &[u8], options: Options) -> u32 {
        limits::name(workflow);
        limits::payload(input);
        let (workflow, input) = (workflow.to_owned(), input.to_vec());
        with("child.start", |world| world.ask(Ask::Child { workflow, input, options }))
    }

    pub(crate) fn run_id(call: u32) -> String {
        with("child.run-id", |world| run_id::of_child(&world.info.run_id, call))
    }
}

pub(crate) mod clock {
    use super::*;

    pub(crate) fn now() -> u64 {
        with("clock.now", |world| world.now)
    }
}

pub(crate) mod event {
    use super::*;
    use crate::bindings::windlass::workflow::event::Event;

    pub(crate) fn next() -> Option<Event> {
        with("event.next", |world| {
            let event = world.event.take()?;
            world.now = world.clock();
            world.pulled += 1;
            Some(event)
        })
    }
}

pub(crate) mod heartbeat {
    use super::*;

    pub(crate) fn report(details: &[u8]) {
        limits::payload(details);
        world::heartbeat(details);
    }
}

pub(crate) mod log {
    use super::*;
    use crate::log::Level;

    pub(crate) fn write(level: Level, message: &str) {
        world::log(level, message);
    }
}

pub(crate) mod random {
    use super::*;
    use rand_chacha::rand_core::Rng as _;

    pub(crate) fn bytes(length: u32) -> Vec<u8> {
        limits::random(length);
        let mut bytes = vec![0; length as usize];
        with("random.bytes", |world| world.random.fill_bytes(&mut bytes));
        bytes
    }
}

pub(crate) mod run {
    use super::*;
    use crate::bindings::windlass::workflow::run::Info;

    pub(crate) fn current() -> Info {
        with("run.current", |world| world.info.clone())
    }

    pub(crate) fn history_length() -> u32 {
        with("run.history-length", |world| world.pulled)
    }

    pub(crate) fn tag(key: &str, value: &str) {
        limits::tag(key, value);
        with("run.tag", |world| world.tag(key, value));
    }
}

pub(crate) mod signal {
    use super::*;

    pub(crate) fn receive(name: &str) -> u32 {
        limits::name(name);
        with("signal.receive", |world| world.ask(Ask::Receive { name: name.to_owned() }))
    }

    pub(crate) fn send(to: &str, name: &str, payload: &[u8]) -> u32 {
        let Some(run_id) = run_id::parse(to) else {
            limits::trap("invalid-run-id", format!("`{}` is no id of a run", to.escape_debug()));
        };
        limits::name(name);
        limits::payload(payload);
        let (name, payload) = (name.to_owned(), payload.to_vec());
        with("signal.send", |world| world.ask(Ask::Send { run_id, name, payload }))
    }
}

pub(crate) mod state {
    use super::*;

    pub(crate) fn publish(key: &str, value: &[u8]) {
        limits::name(key);
        limits::payload(value);
        with("state.publish", |world| world.publish(key, value));
    }
}

pub(crate) mod step {
    use super::*;
    use crate::bindings::windlass::workflow::step::Options;

    pub(crate) fn run(name: &str, input: &[u8], options: Options) -> u32 {
        limits::name(name);
        limits::payload(input);
        options.retry.iter().for_each(limits::retry);
        options.timeout.into_iter().chain(options.total_timeout).for_each(limits::duration);
        with("step.run", |world| world.ask(Ask::Step { name: name.to_owned(), input: input.to_vec(), options }))
    }
}

pub(crate) mod timer {
    use super::*;

    pub(crate) fn sleep(duration: u64) -> u32 {
        limits::duration(duration);
        with("timer.sleep", |world| world.ask(Ask::Sleep { duration }))
    }
}

pub(crate) mod update {
    use super::*;
    use crate::bindings::windlass::workflow::types::Failure;

    pub(crate) fn receive(name: &str) -> u32 {
        limits::name(name);
        with("update.receive", |world| world.ask(Ask::ReceiveUpdate { name: name.to_owned() }))
    }

    pub(crate) fn answer(call: u32, answer: Result<&[u8], &Failure>) {
        match answer {
            Ok(result) => limits::payload(result),
            Err(failure) => limits::name(&failure.code),
        }
        with("update.answer", |world| world.answer(call, answer));
    }
}
