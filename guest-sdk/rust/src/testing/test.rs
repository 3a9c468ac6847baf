//! What the outside of a workflow does in a test.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::agenda::Entry;
use super::runner::{Runner, Scripts};
use super::{Run, Script, Started, Workflow, attempt, rfc3339, run};
use crate::Result;
use crate::timer::micros;

/// A world for workflows to run in: scripts for steps, and what comes from outside when.
///
/// ```
/// use std::time::Duration;
/// use windlass::testing::Test;
///
/// #[windlass::workflow]
/// async fn sell_house() -> windlass::Result<u64> {
///     let price = estimate().await?;
///     let bid = windlass::signal::<u64>("bid").timeout(Duration::from_secs(7 * 24 * 3600)).await?;
///     Ok(bid.unwrap_or(price / 2))
/// }
///
/// #[windlass::step(http = ["broker.example"])]
/// async fn estimate() -> windlass::Result<u64> {
///     windlass::http::get("https://broker.example/").send().await?.success()?.json()
/// }
///
/// let mut test = Test::new();
/// test.step("estimate", |()| Ok(500_000));
/// test.at(Duration::from_secs(24 * 3600)).signal("bid", 480_000);
/// assert_eq!(test.start(sell_house, ()).result(), Ok(480_000));
/// ```
pub struct Test {
    started_at: SystemTime,
    seed: u64,
    jitter: bool,
    scripts: Scripts,
    planned: Vec<(u64, Planned)>,
}

/// What happens to each run of the test, so long after its start.
type Planned = Box<dyn Fn() -> Entry>;

impl Test {
    /// Nothing is scripted and nothing comes from outside. The time is the beginning of the year 2000.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn do_nothing() -> windlass::Result<()> { Ok(()) }
    /// assert_eq!(windlass::testing::Test::new().start(do_nothing, ()).result(), Ok(()));
    /// ```
    #[expect(clippy::new_without_default, reason = "a test begins with words, not with a default")]
    pub fn new() -> Self {
        let started_at = UNIX_EPOCH + Duration::from_secs(946_684_800);
        Self { started_at, seed: 0, jitter: false, scripts: Scripts::default(), planned: Vec::new() }
    }

    /// Let runs start at another time.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    ///
    /// # #[windlass::workflow]
    /// # async fn look_at_clock() -> windlass::Result<std::time::SystemTime> { Ok(windlass::now()) }
    /// let time = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    /// let mut run = windlass::testing::Test::new().started_at(time).start(look_at_clock, ());
    /// assert_eq!(run.result(), Ok(time));
    /// ```
    #[must_use]
    pub fn started_at(self, time: SystemTime) -> Self {
        Self { started_at: time, ..self }
    }

    /// Give [`random`](crate::random()) other numbers.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn roll_dice() -> windlass::Result<u64> { Ok(windlass::random()) }
    /// let rolled = |seed| windlass::testing::Test::new().seed(seed).start(roll_dice, ()).result();
    /// assert_ne!(rolled(1), rolled(2));
    /// ```
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Make the waits between attempts shorter by chance, as the retry policies say. The chance is that of the
    /// [`seed`](Self::seed). Without this, waits have their full length.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn open_door() -> windlass::Result<()> { turn_key().await }
    /// # #[windlass::step]
    /// # async fn turn_key() -> windlass::Result<()> { Ok(()) }
    /// use std::time::Duration;
    ///
    /// let mut test = windlass::testing::Test::new().jitter();
    /// test.step_attempts("turn_key", [Err(windlass::Failure::new("stuck", "it does not turn")), Ok(())]);
    /// let mut run = test.start(open_door, ());
    /// run.result().unwrap();
    /// assert!(run.elapsed() < Duration::from_millis(200));
    /// ```
    #[must_use]
    pub fn jitter(self) -> Self {
        Self { jitter: true, ..self }
    }

    /// Let `code` run instead of the step's own, in each attempt. It gets the step's input: `()` for no argument, the
    /// argument itself for one, a tuple for more. [`step::attempt`](crate::step::attempt) tells it which attempt it is.
    ///
    /// # Panics
    ///
    /// If there is no such step.
    ///
    /// ```
    /// use windlass::{Failure, step};
    ///
    /// # #[windlass::workflow]
    /// # async fn count_sheep() -> windlass::Result<u32> { add_up(1, 2).await }
    /// # #[windlass::step]
    /// # async fn add_up(a: u32, b: u32) -> windlass::Result<u32> { Ok(a + b) }
    /// let mut test = windlass::testing::Test::new();
    /// test.step("add_up", |(a, b): (u32, u32)| match step::attempt().number {
    ///     1 => Err(Failure::new("asleep", "it dozed off")),
    ///     _ => Ok(a * 10 + b),
    /// });
    /// assert_eq!(test.start(count_sheep, ()).result(), Ok(12));
    /// ```
    #[track_caller]
    pub fn step<I: DeserializeOwned, O: Serialize>(
        &mut self,
        name: &str,
        code: impl FnMut(I) -> Result<O> + 'static,
    ) -> Script {
        self.script(name, Script::new(name, code))
    }

    /// Let the attempts of a step end with these results, one after the other. It panics when there is one more.
    ///
    /// # Panics
    ///
    /// If there is no such step.
    ///
    /// ```
    /// use windlass::Failure;
    ///
    /// # #[windlass::workflow]
    /// # async fn phone() -> windlass::Result<String> { dial().await }
    /// # #[windlass::step]
    /// # async fn dial() -> windlass::Result<String> { Ok(String::new()) }
    /// let mut test = windlass::testing::Test::new();
    /// test.step_attempts("dial", [Err(Failure::new("busy", "beep")), Ok("hello?")]);
    /// let mut run = test.start(phone, ());
    /// assert_eq!(run.result().unwrap(), "hello?");
    /// assert_eq!(run.history().events[0].attempt, Some(2));
    /// ```
    #[track_caller]
    pub fn step_attempts<O: Serialize>(&mut self, name: &str, results: impl IntoIterator<Item = Result<O>>) -> Script {
        self.script(name, Script::of_attempts(name, results))
    }

    #[track_caller]
    fn script(&mut self, name: &str, script: Script) -> Script {
        assert!(attempt::declared(name).is_some(), "no step is called `{name}`; there are {:?}", attempt::names());
        self.scripts.borrow_mut().insert(name.to_owned(), script.clone());
        script
    }

    /// Something that comes from outside, so long after the start of a run.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # #[windlass::workflow]
    /// # async fn answer_door() -> windlass::Result<String> { windlass::signal("bell").await }
    /// let mut test = windlass::testing::Test::new();
    /// test.at(Duration::from_secs(60)).signal("bell", "the postman");
    /// test.at(Duration::from_secs(90)).cancel();
    /// assert_eq!(test.start(answer_door, ()).result(), Ok("the postman".to_owned()));
    /// ```
    pub fn at(&mut self, after: Duration) -> At<'_> {
        At { test: self, after: micros(after) }
    }

    /// Start a workflow, by its function or its name. The input is the function's argument; `()` if it has none, a tuple
    /// if it has more.
    ///
    /// It runs until it waits for something that takes time.
    ///
    /// ```
    /// # #[windlass::workflow]
    /// # async fn echo(text: String) -> windlass::Result<String> { Ok(text) }
    /// assert_eq!(windlass::testing::Test::new().start(echo, "cuckoo").result(), Ok("cuckoo".to_owned()));
    /// ```
    #[track_caller]
    pub fn start<M, W: Workflow<M>>(&self, workflow: W, input: impl Serialize) -> Run<W::Value> {
        let workflow = workflow.find();
        let started = Started {
            run_id: "00000000-0000-7000-8000-000000000000".to_owned(),
            workflow: workflow.name.to_owned(),
            version: 1,
            input: serde_json::to_value(input).unwrap_or_else(|error| panic!("the input: {error}")),
            started_at: self.started_at,
            seed: Some(self.seed),
        };
        let jitter = self.jitter.then(|| ChaCha8Rng::seed_from_u64(self.seed));
        let mut runner = Runner::new(started.clone(), self.scripts.clone(), jitter);
        let start = rfc3339::instant(self.started_at);
        for (after, entry) in &self.planned {
            runner.world.borrow_mut().agenda.put(start.saturating_add(*after), entry());
        }
        runner.start(workflow, &started.input);
        Run::new(runner)
    }
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Test").field("scripts", &self.scripts.borrow()).finish_non_exhaustive()
    }
}

/// A time after the start of a run; made by [`Test::at`].
#[must_use = "say what comes then"]
pub struct At<'a> {
    test: &'a mut Test,
    after: u64,
}

impl<'a> At<'a> {
    /// A signal comes, unless the run has ended.
    #[track_caller]
    pub fn signal(self, name: &str, value: impl Serialize) -> &'a mut Test {
        let Entry::Send { name, payload } = run::send(name, &value) else { unreachable!("a signal is sent") };
        self.plan(move || Entry::Send { name: name.clone(), payload: payload.clone() })
    }

    /// The run is asked to stop, unless it has ended.
    pub fn cancel(self) -> &'a mut Test {
        self.plan(|| Entry::Cancel)
    }

    fn plan(self, entry: impl Fn() -> Entry + 'static) -> &'a mut Test {
        self.test.planned.push((self.after, Box::new(entry)));
        self.test
    }
}
