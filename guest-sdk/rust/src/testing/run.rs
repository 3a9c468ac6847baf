//! A run of a test: what is done to it, and what it has come to.

use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::agenda::Entry;
use super::family::{ENDLESS, Family, SharedRunner};
use super::inbox::{Letter, Slot};
use super::{Answer, Asked, History, Line, State, rfc3339};
use crate::timer::micros;
use crate::{CancelReason, Result, payload};

/// A run, started by [`Test::start`](super::Test::start), or a [child](Self::child) of one. `T` is what its workflow gives.
///
/// Time stands still but in [`advance`](Self::advance) and [`result`](Self::result); it is the same for a run and its children.
pub struct Run<T> {
    pub(super) family: Rc<Family>,
    runner: SharedRunner,
    value: PhantomData<fn() -> T>,
}

impl<T> Run<T> {
    pub(super) fn of(family: Rc<Family>, runner: SharedRunner) -> Self {
        Self { family, runner, value: PhantomData }
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
        self.family.advance(self.clock().saturating_add(micros(duration)));
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
        self.accept(Entry::Letter(letter(name, &value, None)))
    }

    /// Send an update now: a request that the workflow answers. What can be done about it at this time is done; the answer may
    /// come later as well, and the update waits in the inbox until the workflow asks for it.
    ///
    /// # Panics
    ///
    /// If the run has ended: a host does not accept it either.
    ///
    /// ```
    /// #[windlass::workflow]
    /// async fn count_votes() -> windlass::Result<u32> {
    ///     let mut votes = 0;
    ///     while votes < 2 {
    ///         let vote = windlass::update::<String>("vote").await;
    ///         votes += 1;
    ///         vote.answer(&votes)?;
    ///     }
    ///     Ok(votes)
    /// }
    ///
    /// let mut run = windlass::testing::Test::new().start(count_votes, ());
    /// assert_eq!(run.update::<u32>("vote", "aye").result(), Ok(1));
    /// assert_eq!(run.update::<u32>("vote", "no").result(), Ok(2));
    /// assert_eq!(run.result(), Ok(2));
    /// ```
    #[track_caller]
    pub fn update<R>(&mut self, name: &str, value: impl Serialize) -> Answer<R> {
        let slot = Slot::default();
        self.accept(Entry::Letter(letter(name, &value, Some(slot.clone()))));
        Answer::new(name, slot)
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
        self.accept(Entry::Cancel(CancelReason::Requested))
    }

    #[track_caller]
    fn accept(&mut self, entry: Entry) -> &mut Self {
        assert!(self.runner.borrow().ended.is_none(), "run-ended: the run has ended, and accepts nothing");
        self.runner.borrow().world.borrow().put(self.clock(), entry);
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
        let events = || self.runner.borrow().history.events.len();
        let before = events();
        // A child that goes on for ever keeps a parent from coming to an end, without an event of its own.
        for _ in 0..8 * ENDLESS {
            if let Some(ended) = &self.runner.borrow().ended {
                return ended.clone();
            }
            if events() - before >= ENDLESS {
                break;
            }
            assert!(self.family.next(u64::MAX), "{}", self.stalled());
        }
        panic!("{ENDLESS} events, and no end: test what goes on for ever with `advance`");
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
        let runner = self.runner.borrow();
        let asked = runner.cancel_requested().is_some_and(|reason| reason != CancelReason::Deadline);
        match &runner.ended {
            None => State::Waiting,
            Some(Ok(_)) => State::Completed,
            Some(Err(failure)) if failure.code == "cancelled" && asked => State::Cancelled,
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
        rfc3339::time(self.clock())
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
        let runner = self.runner.borrow();
        let world = runner.world.borrow();
        Duration::from_micros(world.closed_at.unwrap_or_else(|| world.clock()) - world.info.started_at)
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
        self.runner.borrow().world.borrow().waits_for()
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
        self.runner.borrow().history.clone()
    }

    /// How often it has continued as new. Its [history](Self::history) goes on through all generations.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// #[windlass::workflow]
    /// async fn tick(count: u32) -> windlass::Result<u32> {
    ///     windlass::sleep(Duration::from_secs(1)).await;
    ///     if count < 3 { windlass::continue_as_new(&(count + 1)).await } else { Ok(count) }
    /// }
    ///
    /// let mut run = windlass::testing::Test::new().start(tick, 0);
    /// assert_eq!(run.result(), Ok(3));
    /// assert_eq!((run.generation(), run.history().events.len()), (3, 4));
    /// ```
    pub fn generation(&self) -> u32 {
        self.runner.borrow().world.borrow().info.generation
    }

    /// Its id.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn introduce() -> windlass::Result<String> { Ok(windlass::run::current().run_id) }
    /// let mut run = windlass::testing::Test::new().start(introduce, ());
    /// assert_eq!(run.result(), Ok(run.run_id()));
    /// ```
    pub fn run_id(&self) -> String {
        self.runner.borrow().world.borrow().info.run_id.clone()
    }

    /// The name of its workflow.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn have_a_name() -> windlass::Result<()> { Ok(()) }
    /// assert_eq!(windlass::testing::Test::new().start(have_a_name, ()).workflow(), "have_a_name");
    /// ```
    pub fn workflow(&self) -> String {
        self.runner.borrow().world.borrow().info.workflow.clone()
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
        self.runner.borrow().world.borrow().lines.clone()
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
        let value = self.runner.borrow().world.borrow().published.get(key)?.clone();
        match serde_json::from_value(value) {
            Ok(value) => Some(value),
            Err(error) => panic!("what is published as `{key}` is no `{}`: {error}", std::any::type_name::<V>()),
        }
    }

    /// The value of a [tag](crate::run::tag) that its workflow has set, if it has.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn mark() -> windlass::Result<()> { windlass::run::tag("colour", "red"); Ok(()) }
    /// let run = windlass::testing::Test::new().start(mark, ());
    /// assert_eq!(run.tag("colour").as_deref(), Some("red"));
    /// ```
    pub fn tag(&self, key: &str) -> Option<String> {
        self.runner.borrow().world.borrow().tags.get(key).cloned()
    }

    /// What a step of it has [reported](crate::heartbeat::report) last, if anything; of several calls of the step, the last one
    /// that did.
    ///
    /// # Panics
    ///
    /// If that is no `V`.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn hike() -> windlass::Result<()> { walk().await }
    /// #[windlass::step]
    /// async fn walk() -> windlass::Result<()> {
    ///     windlass::heartbeat::report(&"half way")
    /// }
    ///
    /// let run = windlass::testing::Test::new().start(hike, ());
    /// assert_eq!(run.heartbeat::<String>("walk").unwrap(), "half way");
    /// ```
    #[track_caller]
    pub fn heartbeat<V: DeserializeOwned>(&self, step: &str) -> Option<V> {
        let value = self.runner.borrow().world.borrow().heartbeats.get(step)?.clone();
        match serde_json::from_value(value) {
            Ok(value) => Some(value),
            Err(error) => panic!("what `{step}` reported is no `{}`: {error}", std::any::type_name::<V>()),
        }
    }

    fn clock(&self) -> u64 {
        self.family.agenda.borrow().clock
    }
}

/// A signal on its way; an update, if somebody waits for an answer.
#[track_caller]
pub(super) fn letter(name: &str, value: &impl Serialize, update: Option<Slot>) -> Letter {
    super::limits::name(name);
    match payload::encode(value) {
        Ok(payload) => Letter { name: name.to_owned(), payload, update },
        Err(failure) => panic!("what is sent as `{name}`: {failure}"),
    }
}

impl<T> fmt::Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut run = f.debug_struct("Run");
        run.field("workflow", &self.workflow()).field("state", &self.state()).field("elapsed", &self.elapsed());
        run.field("waits_for", &self.waits_for()).field("history", &self.runner.borrow().history).finish()
    }
}
