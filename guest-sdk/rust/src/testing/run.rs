//! A run of a test: what is done to it, and what it has come to.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::agenda::Entry;
use super::runner::{ENDLESS, Runner};
use super::{Asked, History, rfc3339};
use crate::log::Level;
use crate::timer::micros;
use crate::{Result, payload};

/// A run, started by [`Test::start`](super::Test::start). `T` is what its workflow gives.
///
/// Time stands still but in [`advance`](Self::advance) and [`result`](Self::result).
pub struct Run<T> {
    runner: Runner,
    value: PhantomData<fn() -> T>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for something.
    Waiting,
    /// It ended with a result.
    Completed,
    /// It ended with a failure.
    Failed,
    /// It was asked to stop, and did: it ended with the code `cancelled`.
    Cancelled,
}

/// A line of a run's log.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When it was written.
    pub at: SystemTime,
    /// How much it matters.
    pub level: Level,
    /// Of a step's line: its call.
    pub call: Option<u32>,
    /// Of a step's line: its attempt.
    pub attempt: Option<u32>,
    /// The text.
    pub message: String,
}

impl<T> Run<T> {
    pub(super) fn new(runner: Runner) -> Self {
        let mut run = Self { runner, value: PhantomData };
        run.advance(Duration::ZERO);
        run
    }

    /// Let this much time pass, with all that happens in it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use windlass::testing::{State, Test};
    ///
    /// #[windlass::workflow]
    /// async fn doze(seconds: u64) -> windlass::Result<()> {
    ///     windlass::sleep(Duration::from_secs(seconds)).await;
    ///     Ok(())
    /// }
    ///
    /// let mut run = Test::new().start(doze, 60);
    /// run.advance(Duration::from_secs(59));
    /// assert_eq!(run.state(), State::Waiting);
    /// run.advance(Duration::from_secs(1));
    /// assert_eq!(run.state(), State::Completed);
    /// ```
    pub fn advance(&mut self, duration: Duration) -> &mut Self {
        let clock = self.runner.world.borrow().clock;
        self.runner.advance(clock.saturating_add(micros(duration)));
        self
    }

    /// Send a signal now.
    ///
    /// # Panics
    ///
    /// If the run has ended: a host does not accept it either.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn wonder() -> windlass::Result<u8> { windlass::signal("answer").await }
    /// let mut run = windlass::testing::Test::new().start(wonder, ());
    /// run.signal("answer", 42);
    /// assert_eq!(run.result(), Ok(42));
    /// ```
    #[track_caller]
    pub fn signal(&mut self, name: &str, value: impl Serialize) -> &mut Self {
        self.accept(send(name, &value))
    }

    /// Ask the run to stop, now. It is asked once.
    ///
    /// # Panics
    ///
    /// If the run has ended: a host does not accept it either.
    ///
    /// ```
    /// use windlass::testing::{State, Test};
    /// # #[windlass::workflow]
    /// # async fn wait() -> windlass::Result<()> { windlass::signal("never").await }
    /// let mut run = Test::new().start(wait, ());
    /// run.cancel();
    /// assert_eq!(run.state(), State::Cancelled);
    /// ```
    #[track_caller]
    pub fn cancel(&mut self) -> &mut Self {
        self.accept(Entry::Cancel)
    }

    #[track_caller]
    fn accept(&mut self, entry: Entry) -> &mut Self {
        assert!(self.runner.ended.is_none(), "run-ended: the run has ended, and accepts nothing");
        let mut world = self.runner.world.borrow_mut();
        let now = world.clock;
        world.agenda.put(now, entry);
        drop(world);
        self.advance(Duration::ZERO)
    }

    /// Let time pass until the run ends, and give what it ended with.
    ///
    /// # Panics
    ///
    /// If the run waits for what never comes, such as a signal that nobody sends; the message says for what. If it goes on
    /// for ever; test such a one with [`advance`](Self::advance). If its result is no `T`.
    ///
    /// ```should_panic
    /// # #[windlass::workflow]
    /// # async fn hope() -> windlass::Result<()> { windlass::signal("miracle").await }
    /// windlass::testing::Test::new().start(hope, ()).result().unwrap(); // … waits for … the signal `miracle`
    /// ```
    #[track_caller]
    pub fn result(&mut self) -> Result<T>
    where
        T: DeserializeOwned,
    {
        let result = self.result_json()?;
        match serde_json::from_value(result) {
            Ok(value) => Ok(value),
            Err(error) => panic!("the result is no `{}`: {error}", std::any::type_name::<T>()),
        }
    }

    /// As [`result`](Self::result), for results that cannot be read back into their type.
    ///
    /// ```
    /// use serde::Serialize;
    ///
    /// #[derive(Serialize, schemars::JsonSchema)]
    /// struct Ticket {
    ///     seat: &'static str,
    /// }
    ///
    /// #[windlass::workflow]
    /// async fn reserve_seat() -> windlass::Result<Ticket> {
    ///     Ok(Ticket { seat: "12A" })
    /// }
    ///
    /// let mut run = windlass::testing::Test::new().start(reserve_seat, ());
    /// assert_eq!(run.result_json().unwrap()["seat"], "12A");
    /// ```
    #[track_caller]
    pub fn result_json(&mut self) -> Result<Value> {
        let events = self.runner.history.events.len();
        loop {
            if let Some(ended) = &self.runner.ended {
                return ended.clone();
            }
            let endless = self.runner.history.events.len() - events >= ENDLESS;
            assert!(!endless, "{ENDLESS} events, and no end: test what goes on for ever with `advance`");
            assert!(self.runner.next(u64::MAX), "{}", self.stalled());
        }
    }

    /// Why nothing can happen any more.
    fn stalled(&self) -> String {
        let waits_for = self.waits_for();
        if waits_for.is_empty() {
            return "stalled: the run waits, and no call of it is open: nothing can ever wake it".to_owned();
        }
        let calls: Vec<_> = waits_for.iter().map(ToString::to_string).collect();
        let name = &waits_for[0].name;
        format!(
            "the run waits for what never comes: {}; send it with `run.signal(\"{name}\", …)` or, before the start, `test.at(…).signal(\"{name}\", …)`",
            calls.join("; ")
        )
    }

    /// Where it stands.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn end() -> windlass::Result<()> { Ok(()) }
    /// let run = windlass::testing::Test::new().start(end, ());
    /// assert_eq!(run.state(), windlass::testing::State::Completed);
    /// ```
    pub fn state(&self) -> State {
        match &self.runner.ended {
            None => State::Waiting,
            Some(Ok(_)) => State::Completed,
            Some(Err(failure)) if failure.code == "cancelled" && self.runner.cancel_requested() => State::Cancelled,
            Some(Err(_)) => State::Failed,
        }
    }

    /// What time it is in the test.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn stand_still() -> windlass::Result<std::time::SystemTime> { Ok(windlass::now()) }
    /// let mut run = windlass::testing::Test::new().start(stand_still, ());
    /// assert_eq!(run.result(), Ok(run.now()));
    /// ```
    pub fn now(&self) -> SystemTime {
        rfc3339::time(self.runner.world.borrow().clock)
    }

    /// How long ago it was started; when it has ended, how long it took.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[windlass::workflow]
    /// # async fn boil_egg() -> windlass::Result<()> { windlass::sleep(Duration::from_secs(300)).await; Ok(()) }
    /// let mut run = windlass::testing::Test::new().start(boil_egg, ());
    /// run.result().unwrap();
    /// assert_eq!(run.elapsed(), Duration::from_secs(300));
    /// ```
    pub fn elapsed(&self) -> Duration {
        let world = self.runner.world.borrow();
        Duration::from_micros(world.clock - world.info.started_at)
    }

    /// The calls that it has open.
    ///
    /// ```
    /// use windlass::testing::{Kind, Test};
    /// # #[windlass::workflow]
    /// # async fn listen() -> windlass::Result<()> { windlass::signal("music").await }
    /// let run = Test::new().start(listen, ());
    /// assert_eq!((run.waits_for()[0].kind, &*run.waits_for()[0].name), (Kind::Signal, "music"));
    /// ```
    pub fn waits_for(&self) -> Vec<Asked> {
        self.runner.world.borrow().waits_for()
    }

    /// What has happened to it so far.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn rest() -> windlass::Result<()> { windlass::sleep(std::time::Duration::ZERO).await; Ok(()) }
    /// let run = windlass::testing::Test::new().start(rest, ());
    /// assert_eq!(run.history().events[0].kind, windlass::testing::Kind::Sleep);
    /// ```
    pub fn history(&self) -> History {
        self.runner.history.clone()
    }

    /// The lines of its log, those of its steps among them.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn talk() -> windlass::Result<()> { windlass::log!(warn, "I say!"); Ok(()) }
    /// let run = windlass::testing::Test::new().start(talk, ());
    /// assert_eq!((run.logs()[0].level, &*run.logs()[0].message), (windlass::log::Level::Warn, "I say!"));
    /// ```
    pub fn logs(&self) -> Vec<Line> {
        self.runner.world.borrow().lines.clone()
    }

    /// What it shows under `key`, if anything.
    ///
    /// # Panics
    ///
    /// If that is no `V`.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn boast() -> windlass::Result<()> { windlass::publish("cups", &3); Ok(()) }
    /// let run = windlass::testing::Test::new().start(boast, ());
    /// assert_eq!(run.published::<u32>("cups"), Some(3));
    /// ```
    #[track_caller]
    pub fn published<V: DeserializeOwned>(&self, key: &str) -> Option<V> {
        let value = self.runner.world.borrow().published.get(key)?.clone();
        match serde_json::from_value(value) {
            Ok(value) => Some(value),
            Err(error) => panic!("what is published as `{key}` is no `{}`: {error}", std::any::type_name::<V>()),
        }
    }
}

/// A signal on its way.
#[track_caller]
pub(super) fn send(name: &str, value: &impl Serialize) -> Entry {
    super::limits::name(name);
    match payload::encode(value) {
        Ok(payload) => Entry::Send { name: name.to_owned(), payload },
        Err(failure) => panic!("the signal `{name}`: {failure}"),
    }
}

impl<T> fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut run = f.debug_struct("Run");
        run.field("state", &self.state()).field("elapsed", &self.elapsed()).field("waits_for", &self.waits_for());
        run.field("history", &self.runner.history).finish()
    }
}
